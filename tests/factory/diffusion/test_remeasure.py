"""Measured again: by its own networks, on faces it can be shown, into a folder of one's own."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from factory import checkpoint
from factory.config import load
from factory.diffusion.reconstruction import GIVEN, HELDOUT, TRAINING, measured_faces
from factory.diffusion.remeasure import add_figures, figures_of
from factory.errors import CheckpointError
from tests.conftest import NAMES, save_networks, tiny_dotlist


@pytest.fixture
def config_of(people, tmp_path):
    """Function of a folder of networks and more items -> a config."""

    def make(weights, *dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        words = tiny_dotlist(people, weights, tmp_path / "store")
        return load(tmp_path / "c.yaml", [*words, *dotlist])

    return make


def changed(folder, out, kind, *, add=0.0, **config):
    """A copy of a network with other weights, or another config in its checkpoint.json."""
    loaded = checkpoint.load(str(folder), kind, "x")
    tensors = {name: tensor + add for name, tensor in loaded.tensors.items()}
    other = dataclasses.replace(loaded, tensors=tensors, config=loaded.config | config)
    checkpoint.save(out, other)
    return out


def test_a_generator_is_measured_with_the_networks_it_was_trained_with(
    config_of, weights, tmp_path
):
    """Another autoencoder of the same shape would give figures, and wrong ones."""
    other = changed(weights / "autoencoder", tmp_path / "other", "autoencoder", add=0.01)
    named = {"recognizer": weights / "judge", "autoencoder": other}
    for kind, folder in named.items():
        config = config_of(weights, f"{kind}.checkpoint={folder}", "judge.checkpoint=null")
        with pytest.raises(CheckpointError, match=rf"^{kind}\.checkpoint: has sha256") as refused:
            figures_of(config, "generator", dry_run=True)
        assert f"use the {kind} it was trained with" in str(refused.value)
        assert "\n" not in str(refused.value)
    assert figures_of(config_of(weights), "generator", dry_run=True) == {}


def test_a_student_is_measured_beside_its_teacher_alone(config_of, weights, tmp_path):
    facts = {"num_steps": 4, "guidance": 1.5}
    out = changed(weights / "generator", tmp_path / "student", "generator", distilled=facts)
    with pytest.raises(CheckpointError, match=r"^generator\.checkpoint: is a distilled student"):
        figures_of(config_of(weights, f"generator.checkpoint={out}"), "generator", dry_run=True)


def test_a_generator_of_images_needs_no_autoencoder(config_of, weights, tmp_path):
    out = changed(weights / "generator", tmp_path / "images", "generator", space="images")
    config = config_of(weights, f"generator.checkpoint={out}", "autoencoder.checkpoint=nowhere")
    assert figures_of(config, "generator", dry_run=True) == {}


@pytest.mark.parametrize("kind", ["autoencoder", "generator"])
def test_networks_of_the_package_are_not_written_to(
    config_of, weights, kind, tmp_path, monkeypatch
):
    shutil.copytree(weights / kind, tmp_path / "package" / kind)
    monkeypatch.setattr(checkpoint, "STARTER", tmp_path / "package")
    config = config_of(weights, f"{kind}.checkpoint=starter:{kind}")
    before = (tmp_path / "package" / kind / checkpoint.METADATA).read_bytes()
    told = rf"^{kind}\.checkpoint: got starter:{kind}; want a folder of your own"
    with pytest.raises(CheckpointError, match=told):
        figures_of(config, kind, dry_run=True)
    with pytest.raises(CheckpointError, match=told):
        add_figures(config, kind, {"psnr_db": 1.0, "validation": {}})
    assert (tmp_path / "package" / kind / checkpoint.METADATA).read_bytes() == before


def test_people_held_out_are_not_asked_for_by_prototypes(config_of, tmp_path):
    """A recognizer has prototypes of those alone whom it learned from."""
    weights = save_networks(tmp_path / "networks", names=NAMES[:-2])
    held_out = "source.holdout_identities=2"
    of_images = figures_of(config_of(weights, held_out), "generator")
    assert of_images["validation"]["faces"] == of_images["probe"]["faces"] == HELDOUT
    out = changed(weights / "generator", tmp_path / "p", "generator", condition="prototype")
    measured = figures_of(config_of(weights, held_out, f"generator.checkpoint={out}"), "generator")
    assert measured["validation"]["faces"] == measured["probe"]["faces"] == GIVEN


def test_a_training_chooses_its_faces_by_the_same_rule():
    some, none = [1, 2], []
    assert measured_faces(some, [3]) == measured_faces(some, [3], "image") == ([3], HELDOUT)
    assert measured_faces(some, [3], "prototype") == (some, TRAINING)
    assert measured_faces(some, none) == (some, TRAINING)


def test_figures_that_are_no_numbers_are_null_until_they_are_measured(config_of, weights, tmp_path):
    copy = shutil.copytree(weights, tmp_path / "weights")
    config = config_of(copy)
    file = add_figures(config, "autoencoder", {"psnr_db": float("nan"), "faces": "some"})
    assert json.loads(open(file).read())["metrics"] == {
        "psnr_db": None,
        "psnr_db_note": "n/a: not a number",
        "faces": "some",
    }
    add_figures(config, "autoencoder", {"psnr_db": 20.0})
    assert json.loads(open(file).read())["metrics"] == {"psnr_db": 20.0, "faces": "some"}


def test_a_recognizers_geometry_gains_what_the_generator_draws_from_its_prototypes(
    config_of, weights, tmp_path
):
    config = config_of(weights)
    figures = figures_of(config, "recognizer")
    assert set(figures) == {"geometry"}
    assert {"virtual_virtual", "real_span", "decoded_own"} <= set(figures["geometry"])
    decoded = figures["geometry"]["decoded_own"]
    assert decoded["images"] == 80  # two of each of 40 prototypes
    assert -1 <= decoded["mean"] <= 1
