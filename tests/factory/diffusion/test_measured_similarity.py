"""Labels of similarity that are measured: closed forms, ensembles, what the checkpoint keeps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion import generator_figures
from factory.diffusion import train as training
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.generator_figures import MeasuredFaces, centers_of
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.measured_similarity import MeasuredSimilarity, cosines_of
from factory.diffusion.remeasure import figures_of
from factory.diffusion.sample_grid import sample_grid
from factory.diffusion.similarity import MARGIN, QUANTILES, TrainingSimilarities
from factory.diffusion.train import train
from factory.diffusion.trained_generator import TrainedGenerator
from factory.diffusion.uvit import Shape, UViT
from factory.errors import CheckpointError, ConfigError
from factory.provenance.lineage import networks_from_list
from factory.recognition.embed import Recognizer
from factory.sources import FaceSet
from factory.training.faces import open_faces
from tests.factory.diffusion.conftest import CPU, faces_of, quiet
from tests.mapped import small_shards
from tests.recorded import record_batches

CONFIGS = Path(__file__).parents[3] / "configs"
MEASURED = (
    "generator.similarity_tokens=2",
    "generator.similarity_label=measured",
    "generator.condition=center",
)


class Told:
    """A recognizer that knows the angle of each image, whose first pixel says which it is."""

    def __init__(self, angles, sha256="0" * 64):
        self.angles, self.sha256 = np.asarray(angles, np.float64), sha256

    def embed(self, images):
        angle = self.angles[images[:, 0, :, 0].max(1)]  # the same of a mirror
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def faces_at(labels):
    """Faces whose number is in a corner."""
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    keys, names = [str(i) for i in range(len(labels))], [f"p{i}" for i in range(max(labels) + 1)]
    return FaceSet(images, np.array(labels), keys, names, [])


def test_a_label_is_the_cosine_to_the_center_of_the_others():
    """Angles 0, .2 and .6 of one person: each to the middle of the other two."""
    faces, angles = faces_at([0, 0, 0, 1]), [0.0, 0.2, 0.6, 3.0]
    measured = MeasuredSimilarity(faces, [Told(angles)])
    found = measured.rows(np.array([0, 1, 0]), np.array([0, 1, 2]))
    wanted = np.cos([0.4 - 0.0, 0.3 - 0.2, 0.6 - 0.1])
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
    assert measured.rows(np.array([0]), np.array([3])).isnan().all()
    assert (measured.learned.num_images, measured.learned.num_alone) == (6, 1)
    assert measured.learned.median == pytest.approx(np.median(wanted), abs=1e-4)


def test_an_ensemble_is_the_mean_of_standardized_cosines_in_the_first_ones_units():
    faces = faces_at([0, 0, 0, 1, 1, 1])
    angles = ([0.0, 0.2, 0.6, 1.0, 1.1, 1.5], [0.0, 1.2, 0.3, 2.0, 2.9, 2.1])
    members = [Told(one, str(i) * 64) for i, one in enumerate(angles)]
    everybody = np.arange(6)
    apart = [MeasuredSimilarity(faces, [one]).rows(0 * everybody, everybody) for one in members]
    a, b = (one.double().numpy() for one in apart)
    joined = MeasuredSimilarity(faces, members)
    z = ((a - a.mean()) / a.std() + (b - b.mean()) / b.std()) / 2
    found = joined.rows(0 * everybody, everybody)
    np.testing.assert_allclose(found.numpy(), a.mean() + a.std() * z, atol=1e-6)
    assert joined.learned.recognizers == ("0" * 64, "1" * 64)
    doubled = MeasuredSimilarity(faces, [members[0], Told(angles[0])])
    np.testing.assert_allclose(doubled.rows(0 * everybody, everybody), a, atol=1e-6)


def test_labels_need_different_images_of_somebody():
    for labels, angles in (([0, 1, 2], [0, 1, 2]), ([0, 0, 1, 1], [0, 0, 1, 1])):
        with pytest.raises(
            ConfigError, match=r"^generator\.similarity_label: got measured, but of"
        ):
            MeasuredSimilarity(faces_at(labels), [Told(angles)])


def test_similarities_of_the_training_are_kept_as_quantiles_and_bound_what_may_be_drawn():
    m = np.linspace(0.5, 0.9, 1001)
    learned = TrainingSimilarities.of(m, 3, ["a" * 64])
    assert list(learned.quantiles) == [f"{q:g}" for q in QUANTILES]
    assert learned.range == (0.502, 0.898)
    assert (learned.quantiles["0"], learned.quantiles["1"], learned.median) == (0.5, 0.9, 0.7)
    assert MARGIN == 0.02
    assert not learned.is_outside(0.4821)
    assert not learned.is_outside(0.9179)
    assert learned.is_outside(0.4819)
    assert learned.is_outside(0.9181)
    assert TrainingSimilarities.from_checkpoint({"similarity": learned.to_json()}) == learned
    assert TrainingSimilarities.from_checkpoint({}) is None


def test_one_mislabeled_image_in_two_hundred_does_not_widen_the_range():
    m = np.concatenate([np.linspace(0.5, 0.9, 999), [-0.8, -0.7]])
    assert TrainingSimilarities.of(m, 0, []).range[0] > 0.49


def test_center_and_label_agree(recipe):
    """m is the cosine of the image to the very vector that the network is shown."""
    config = recipe()
    faces, recognizer = faces_of(config), Recognizer.load(config.recognizer.checkpoint, CPU)
    cache = TrainingCache(faces, recognizer, None, "center")
    which, chosen = np.arange(len(faces)) % 2, np.arange(len(faces))
    _, center = cache.rows(which, chosen)
    views = [
        faces.images_NHWC[i][:, ::-1] if w else faces.images_NHWC[i] for i, w in enumerate(which)
    ]
    unit = recognizer.embed(np.stack(views))
    label = MeasuredSimilarity(faces, [recognizer]).rows(which, chosen)
    np.testing.assert_allclose(label, (unit * center.numpy()).sum(1), atol=1e-4)


def test_files_hold_the_labels_that_memory_holds(recipe, tmp_path, monkeypatch):
    small_shards(monkeypatch, 5)
    config = recipe(f"training.cache={tmp_path / 'cache'}")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    faces, mapped = faces_of(config), open_faces(config)[0]
    which, chosen = np.arange(len(faces)) % 2, np.arange(len(faces))
    memory, files = (MeasuredSimilarity(one, [recognizer]) for one in (faces, mapped))
    assert torch.equal(memory.rows(which, chosen), files.rows(which, chosen))
    assert memory.learned == files.learned
    monkeypatch.setattr(Recognizer, "embed", lambda *_: pytest.fail("embedded again"))
    assert cosines_of(mapped, recognizer).rows()[[0]].shape == (1, 2)


def test_training_shows_the_network_measured_labels(recipe, monkeypatch):
    """None where the condition was dropped, and the range stands in the checkpoint."""
    config = recipe(*MEASURED, "generator.condition_dropout=0.3", "training.max_steps=8")
    with monkeypatch.context() as patched:
        batches = record_batches(patched, training, "GeneratorLoss")
        train(config, quiet)
    m, condition = batches.all("m_B"), batches.all("condition_BD")
    dropped = ~condition.any(1)
    assert 0 < int(dropped.sum()) < len(m)
    assert not m[dropped].any()
    faces = faces_of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    measured = MeasuredSimilarity(faces, [recognizer])
    every = [measured.rows(np.full(len(faces), k), np.arange(len(faces))) for k in (0, 1)]
    assert set(m[~dropped].tolist()) <= set(torch.cat(every).tolist())
    stored = checkpoint.read_metadata(config.training.out, "generator", "k")["config"]
    assert TrainingSimilarities.from_checkpoint(stored) == measured.learned
    assert stored["similarity"]["label"] == "measured"
    assert stored["similarity"]["center"] == "leave_one_out"
    assert stored["condition"] == "center"


def test_who_has_one_image_is_learned_without_a_condition(recipe, people, tmp_path, monkeypatch):
    fewer = tmp_path / "fewer"
    shutil.copytree(people, fewer)
    alone = sorted(fewer.iterdir())[0]
    for file in sorted(alone.iterdir())[1:]:
        file.unlink()
    settings = ("generator.condition_dropout=0", "training.max_steps=6", f"source.path={fewer}")
    with monkeypatch.context() as patched:
        batches = record_batches(patched, training, "GeneratorLoss")
        train(recipe(*MEASURED, *settings), quiet)
    m, condition = batches.all("m_B"), batches.all("condition_BD")
    assert torch.isfinite(m).all()
    assert bool((~condition.any(1)).any())
    assert not m[~condition.any(1)].any()


def test_a_center_needs_somebody_with_two_images(recipe):
    config = recipe()
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    faces = faces_of(config)
    alone = replace(faces, labels=np.arange(len(faces)), names=[str(i) for i in range(len(faces))])
    with pytest.raises(ConfigError, match=r"^generator\.condition: got center, but no person has"):
        TrainingCache(alone, recognizer, None, "center")


def test_further_recognizers_are_in_the_lineage_and_must_be_ours(recipe, weights, tmp_path):
    further = f"generator.similarity_recognizers=[{weights / 'judge'}]"
    config = recipe(*MEASURED, further, "training.max_steps=1")
    train(config, quiet)
    metadata = checkpoint.read_metadata(config.training.out, "generator", "k")
    judge = checkpoint.read_metadata(str(weights / "judge"), "recognizer", "k")["sha256"]
    assert metadata["lineage"]["label_recognizer_1"] == judge
    assert metadata["config"]["similarity"]["recognizers"][1] == judge
    records = networks_from_list(metadata["provenance"])
    assert [one.role for one in records if one.sha256 == judge] == ["recognizer"]
    with pytest.raises(CheckpointError, match=r"^generator\.similarity_recognizers"):
        train(recipe(*MEASURED, "generator.similarity_recognizers=[nowhere]"), quiet)


def test_a_resume_by_other_recognizers_is_another_training(recipe, weights):
    train(recipe(*MEASURED, "training.max_steps=1"), quiet)
    further = f"generator.similarity_recognizers=[{weights / 'judge'}]"
    with pytest.raises(CheckpointError, match=r"label_recognizer_1"):
        train(recipe(*MEASURED, further, "training.max_steps=2"), quiet)


def test_figures_are_measured_again_of_held_out_people(recipe):
    held = ("source.holdout_identities=2", "source.license=CC0-1.0")
    config = recipe(*MEASURED, *held, "training.max_steps=1")
    metrics = train(config, quiet)
    again = recipe(*MEASURED, *held, f"generator.checkpoint={config.training.out}")
    assert figures_of(again, "generator")["validation"]["ratio"] == pytest.approx(
        metrics["validation"]["ratio"], rel=1e-4
    )


def test_figures_are_of_centers_without_the_face_itself(monkeypatch):
    """In any order, by a few of many images; who is alone is left out."""
    monkeypatch.setattr(generator_figures, "MOST_PEERS", 2)
    faces = faces_at([1, 0, 1, 2, 0, 1])
    angles = [0.0, 1.0, 0.2, 2.0, 1.6, 0.5]
    chosen = np.array([5, 0, 1])
    found = centers_of(faces, chosen, Told(angles))
    wanted = [0.1, 0.35, 1.6]  # of images 0 and 2; of 2 and 5, which was chosen too; of 4
    np.testing.assert_allclose(found, np.stack([np.cos(wanted), np.sin(wanted)], 1), atol=1e-6)
    networks = FrozenNetworks(Told(angles), None)
    shown = MeasuredFaces(faces, "training faces", networks, "center").examples(np.array([3, 4]))
    assert shown.labels.tolist() == [0]
    np.testing.assert_allclose(shown.unit_ND.numpy(), [[np.cos(1), np.sin(1)]], atol=1e-6)


def test_drawing_takes_the_similarities_of_the_training():
    shape = Shape(3, 4, 2, None, 16, 3, 2, 8, similarity_tokens=2)
    learned = TrainingSimilarities.of(np.linspace(0.5, 0.9, 1001), 0, [])
    torch.manual_seed(0)
    weights = UViT(shape).state_dict()
    asked = {}

    def drawn(learned):
        generator = TrainedGenerator.of(shape, weights, ("v", 10), lambda x: x, CPU, learned)
        unit = torch.nn.functional.normalize(torch.randn(2, 8), dim=1)
        usual = generator.conditioning(unit).similarity_B.tolist()
        spy = TrainedGenerator.draw

        def draw(self, unit_BD, stream, similarity_B=None):
            asked["grid"] = similarity_B.reshape(2, -1)[0].tolist()
            return spy(self, unit_BD, stream, similarity_B)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(TrainedGenerator, "draw", draw)
            sample_grid(generator, unit)
        return usual, asked["grid"]

    usual, grid = drawn(learned)
    assert usual == pytest.approx([0.7, 0.7])
    assert (grid[0], grid[-1]) == pytest.approx((0.898, 0.502))
    usual, grid = drawn(None)
    assert usual == [1.0, 1.0]
    assert (grid[0], grid[-1]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (MEASURED[1:], r"^generator\.similarity_label: got 'measured' with .*tokens=0"),
        (MEASURED[:2], r"^generator\.similarity_label: got 'measured' with .*condition=image"),
        (
            ("generator.similarity_recognizers=[x]",),
            r"^generator\.similarity_recognizers: got \['x'\] with .*asked",
        ),
        (
            (*MEASURED, "generator.similarity_recognizers=[x,x]"),
            r"^generator\.similarity_recognizers: got x twice",
        ),
    ],
)
def test_labels_that_cannot_be_measured_are_refused(recipe, settings, said):
    with pytest.raises(ConfigError, match=said):
        recipe(*settings)


def test_a_recognizer_that_conditions_is_not_given_again(recipe, weights):
    with pytest.raises(ConfigError, match=r"^generator\.similarity_recognizers: got .* twice"):
        recipe(*MEASURED, f"generator.similarity_recognizers=[{weights / 'recognizer'}]")


@pytest.mark.parametrize("name", ["mini_measured", "starter_similarity"])
def test_the_recipes_measure(name):
    generator = load(
        CONFIGS / f"generator/{name}.yaml", ["source.path=x"][: name[0] == "s"]
    ).generator
    assert (generator.similarity_label, generator.condition) == ("measured", "center")
    assert generator.similarity_tokens
    assert generator.init_from


def test_the_mini_recipe_goes_on_from_the_starter_generator(tmp_path):
    """Three people of the pack for a step: the checkpoint says what was measured of them."""
    settings = ["source.num_identities=3", "source.holdout_identities=0", "training.max_steps=1"]
    settings += ["generator.batch_size=2", "compute.precision=fp32", "compute.compile=false"]
    settings += ["compute.device=cpu", f"training.out={tmp_path}"]
    config = load(CONFIGS / "generator/mini_measured.yaml", settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "measure_generator", lambda *_, **__: {})
        train(config, quiet)
    stored = checkpoint.read_metadata(str(tmp_path), "generator", "k")
    low, high = TrainingSimilarities.from_checkpoint(stored["config"]).range
    assert 0.4 < low < high < 1
    assert stored["config"]["similarity"]["num_images"] == 3 * 8 * 2, "each image and its mirror"
