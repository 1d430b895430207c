"""The twin begins as the generator it is made of, and learns to fill a region."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import InpaintingTrainingConfig, SourceConfig, load
from factory.diffusion.uvit import UViT
from factory.editing.training_examples import AS_IS, ExampleMaker
from factory.editing.uvit_inpainting import (
    CHANNELS,
    SEEN_CHANNELS,
    init_from,
    seen,
    shape_of,
    train,
)
from factory.errors import CheckpointError
from factory.sources import open_source
from factory.sources.alignment import TEMPLATE_52, mirrored_points, points_of
from factory.sources.base import read_faces
from tests.conftest import DIM, PX, tiny_dotlist


@pytest.fixture
def faces(people):
    source = open_source(SourceConfig(kind="folder", path=str(people), image_px=PX))
    return read_faces(source, 0.0)


@pytest.fixture
def start(weights):
    return checkpoint.load(str(weights / "generator"), "generator", "generator.checkpoint")


def networks(start):
    shape = shape_of(start, PX)
    plain, twin = UViT(dataclasses.replace(shape, seen_channels=0)), UViT(shape)
    plain.load_state_dict(start.tensors)
    init_from(twin, start)
    return plain.eval(), twin.eval()


def test_it_begins_as_the_generator_to_the_bit(start):
    plain, twin = networks(start)
    x, t_B = torch.randn(2, 4, PX // 4, PX // 4), torch.tensor([3, 70])
    unit_BD = torch.nn.functional.normalize(torch.randn(2, DIM))
    shown = torch.randn(2, SEEN_CHANNELS, PX, PX)
    with torch.no_grad():
        assert twin(x, t_B, unit_BD, seen_BSHW=shown).equal(plain(x, t_B, unit_BD))
        twin.seen.weight.normal_()
        assert not twin(x, t_B, unit_BD, seen_BSHW=shown).equal(plain(x, t_B, unit_BD))


def test_what_it_is_shown_holds_nothing_of_the_region():
    images = np.full((2, 4, 4, 3), 255, np.uint8)
    alpha = np.zeros((2, 4, 4), np.float32)
    alpha[:, 2:] = 1
    shown = seen(images, alpha, ["mask", AS_IS])
    assert (shown[:, :3, :2] == 1).all()
    assert (shown[:, :3, 2:] == 0).all()
    for row, kind in enumerate(("mask", AS_IS)):
        place = 3 + CHANNELS.index(kind)
        assert shown[row, place].equal(torch.from_numpy(alpha[row]))
        others = [c for c in range(3, SEEN_CHANNELS) if c != place]
        assert not shown[row, others].any()


def test_examples_are_painted_or_as_they_were(faces):
    maker = ExampleMaker(faces, InpaintingTrainingConfig(drawn=0.5), SourceConfig(image_px=PX))
    rng, chosen = np.random.default_rng(0), np.arange(12)
    flipped = np.arange(12) % 2 == 1
    made = maker.batch(chosen, flipped, rng, 1.0)
    plain = faces.images_NHWC.copy()
    plain[flipped] = plain[flipped, :, ::-1]
    assert 0 < made.painted_B.sum() < 12
    assert (made.images_BHWC[~made.painted_B] == plain[~made.painted_B]).all()
    outside = made.alpha_BHW == 0
    assert (made.images_BHWC[outside] == plain[outside]).all()
    for kind, painted in zip(made.kinds, made.painted_B, strict=True):
        assert painted == (kind not in (AS_IS, "background"))


def test_a_segmenter_says_where_faces_are(faces):
    class Half:
        def faces(self, images, points):
            mask = np.zeros(images.shape[:3], np.float32)
            mask[:, :, : PX // 2] = 1
            return mask

    recipe = InpaintingTrainingConfig(kinds=("background",))
    maker = ExampleMaker(faces, recipe, SourceConfig(image_px=PX), Half())
    flipped = np.array([False, True])
    made = maker.batch(np.arange(2), flipped, np.random.default_rng(0), 1.0)
    assert not made.alpha_BHW[0, :, : PX // 2].any()
    assert made.alpha_BHW[0, :, PX // 2 :].all()
    assert made.alpha_BHW[1, :, : PX // 2].all()  # a mirror's face is mirrored too


def test_regions_grow_while_it_learns(faces):
    recipe = InpaintingTrainingConfig(largest_share=0.6, kinds=("blocks",))
    maker = ExampleMaker(faces, recipe, SourceConfig(image_px=PX))

    def area(way):
        made = maker.batch(np.arange(12), np.zeros(12, bool), np.random.default_rng(0), way)
        return made.alpha_BHW.mean()

    assert area(0.0) < 0.7 * area(0.5)
    assert area(0.5) == area(1.0)


def test_points_of_a_mirror_are_those_of_a_face():
    points = points_of(np.zeros((1, 112, 112, 3), np.uint8), None)
    assert (points[0] == TEMPLATE_52).all()
    flipped = mirrored_points(points, 112)[0]
    assert flipped[0, 0] < flipped[1, 0]
    np.testing.assert_allclose(flipped[2, 0], 111 - TEMPLATE_52[2, 0])
    assert (mirrored_points(mirrored_points(points, 112), 112) == points).all()


@pytest.fixture
def training(people, weights, tmp_path):
    file = tmp_path / "twin.yaml"
    file.write_text("{}\n")
    more = ["inpainting_training.batch_size=4", "training.max_steps=4", "training.log_every=1"]
    more += ["compute.precision=fp32", f"training.out={tmp_path / 'editor'}"]

    def make(*dotlist):
        return load(file, [*tiny_dotlist(people, weights, tmp_path), *more, *dotlist])

    return make


def test_it_trains_and_tells_its_lineage(training, weights, tmp_path):
    metrics = train(training(), log=lambda line: None)
    assert metrics["final_loss"] > 0
    loaded = checkpoint.load(str(tmp_path / "editor"), "editor", "editing.checkpoint")
    assert loaded.tensors["seen.weight"].abs().max() > 0
    named = {
        kind: json.loads((weights / kind / "checkpoint.json").read_text())["sha256"]
        for kind in ("generator", "recognizer", "autoencoder")
    }
    assert loaded.lineage == named


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(training, tmp_path):
    said: list[str] = []
    whole = training(f"training.out={tmp_path / 'whole'}", "training.save_every_s=0")
    train(whole, log=said.append)
    cut = training(f"training.out={tmp_path / 'cut'}", "training.save_every_s=0")
    with pytest.raises(KeyboardInterrupt):
        train(cut, log=_stopping(3))
    train(cut, log=lambda line: None)
    first, again = (
        checkpoint.load(str(tmp_path / name), "editor", "x").tensors for name in ("whole", "cut")
    )
    assert all(first[name].equal(again[name]) for name in first)


def _stopping(count):
    said = []

    def log(line):
        said.append(line)
        if sum("step" in line for line in said) == count:
            raise KeyboardInterrupt

    return log


def test_a_generator_that_is_shown_points_or_told_similarities_is_refused(start):
    for told in ({"seen_channels": 5, "seen_px": PX}, {"similarity_tokens": 4}):
        shape = start.config["shape"] | told
        other = dataclasses.replace(start, config=start.config | {"shape": shape})
        with pytest.raises(CheckpointError, match=r"generator\.checkpoint: (is shown|takes simi)"):
            shape_of(other, PX)


def test_a_generator_of_other_networks_is_refused(training, weights):
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: has sha256"):
        train(training(f"recognizer.checkpoint={weights / 'judge'}", "judge.checkpoint=null"))
