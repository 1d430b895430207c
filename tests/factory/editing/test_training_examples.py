"""Training examples: regions that grow, occluders painted in some of them, mirrors throughout."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import InpaintingTrainingConfig, SourceConfig, load
from factory.editing import training_examples
from factory.editing.regions import Regions
from factory.editing.training_examples import AS_IS, ExampleMaker
from factory.sources import open_source
from factory.sources.alignment import TEMPLATE_52, mirrored_points, points_of
from factory.sources.base import read_faces
from factory.training.faces import open_faces
from tests.conftest import PX


@pytest.fixture
def faces(people):
    source = open_source(SourceConfig(kind="folder", path=str(people), image_px=PX))
    return read_faces(source, 0.0)


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
    recipe = InpaintingTrainingConfig(max_occluded_fraction=0.6, kinds=("blocks",))
    maker = ExampleMaker(faces, recipe, SourceConfig(image_px=PX))

    def area(progress):
        made = maker.batch(np.arange(12), np.zeros(12, bool), np.random.default_rng(0), progress)
        return made.alpha_BHW.mean()

    assert area(0.0) < 0.7 * area(0.5)
    assert area(0.5) == area(1.0)


class Asked:
    """What a maker asks of its regions and paints, which are none here."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(training_examples, "regions", self.regions)
        monkeypatch.setattr(training_examples, "draw_over", lambda images, *_: images)

    def regions(self, points, kinds, fractions, draws, px, **_):
        self.points, self.kinds, self.fractions = points, np.array(kinds), np.array(fractions)
        count = len(points)
        blank = np.zeros((count, 1, 1), np.float32)
        return Regions(blank, blank, np.zeros(count), np.ones(count, bool))


@pytest.mark.parametrize(
    ("progress", "largest"), [(0.0, 0.24), (0.25, 0.42), (0.5, 0.6), (1.0, 0.6)]
)
def test_fractions_are_uniform_up_to_a_limit_that_rises(faces, monkeypatch, progress, largest):
    """From .05 to 40 % of the largest at first, to all of it from half of the steps on."""
    asked, count = Asked(monkeypatch), 4000
    recipe = InpaintingTrainingConfig(max_occluded_fraction=0.6, kinds=("mask",))
    maker = ExampleMaker(faces, recipe, SourceConfig(image_px=PX))
    rows = np.zeros(count, int)
    maker.batch(rows, rows > 0, np.random.default_rng(0), progress)
    fractions = np.sort(asked.fractions)
    wanted = 0.05 + (largest - 0.05) * (np.arange(count) + 0.5) / count
    np.testing.assert_allclose(fractions, wanted, atol=0.02 * largest)
    assert fractions[-1] == pytest.approx(largest, abs=1e-3)


@pytest.mark.parametrize("drawn", [0.5, 0.2])
def test_one_in_five_that_can_spares_the_face_and_as_many_as_told_are_painted(
    faces, monkeypatch, drawn
):
    """A background always spares it and is never painted, a mask never spares it."""
    asked, count = Asked(monkeypatch), 6000
    recipe = InpaintingTrainingConfig(kinds=("hat", "mask", "background"), drawn=drawn)
    maker = ExampleMaker(faces, recipe, SourceConfig(image_px=PX))
    rows = np.zeros(count, int)
    made = maker.batch(rows, rows > 0, np.random.default_rng(1), 1.0)
    spared = {kind: (asked.fractions == 0)[asked.kinds == kind].mean() for kind in recipe.kinds}
    assert spared == {"hat": pytest.approx(0.2, abs=0.04), "mask": 0.0, "background": 1.0}
    painted = {kind: made.painted_B[asked.kinds == kind].mean() for kind in recipe.kinds}
    about = pytest.approx(drawn, abs=0.05)
    assert painted == {"hat": about, "mask": about, "background": 0.0}


def test_regions_of_a_mirror_are_placed_by_its_points(faces, monkeypatch):
    asked = Asked(monkeypatch)
    maker = ExampleMaker(faces, InpaintingTrainingConfig(), SourceConfig(image_px=PX))
    maker.batch(np.arange(2), np.array([False, True]), np.random.default_rng(0), 1.0)
    plain = points_of(faces.images_NHWC[:1], None)
    np.testing.assert_allclose(asked.points[:1], plain)
    np.testing.assert_allclose(asked.points[1:], mirrored_points(plain, PX))


def test_points_of_a_mirror_are_those_of_a_face():
    points = points_of(np.zeros((1, 112, 112, 3), np.uint8), None)
    assert (points[0] == TEMPLATE_52).all()
    flipped = mirrored_points(points, 112)[0]
    assert flipped[0, 0] < flipped[1, 0]
    np.testing.assert_allclose(flipped[2, 0], 111 - TEMPLATE_52[2, 0])
    assert (mirrored_points(mirrored_points(points, 112), 112) == points).all()


def test_examples_of_faces_in_files_are_those_in_memory(faces, people, tmp_path, monkeypatch):
    """With points that are found again and a segmenter, each called once a face."""
    (tmp_path / "points.onnx").write_bytes(b"weights")
    (tmp_path / "c.yaml").write_text("{}\n")
    source = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
    source += [f"training.cache={tmp_path / 'cache'}"]
    mapped, _ = open_faces(load(tmp_path / "c.yaml", source))
    seen = []

    def shifted(images, detector):
        if detector is not None:
            seen.append(len(images))
        return plain(images, None) + images[:, :1, 0, :1].astype(float) / 255

    class Bright:
        def faces(self, images, points):
            assert points.shape == (len(images), 5, 2)
            seen.append(len(images))
            return (images[..., 0] > points[:, 0, 0][:, None, None]).astype(np.float32)

    plain = training_examples.points_of
    monkeypatch.setattr(training_examples, "points_of", shifted)
    monkeypatch.setattr(training_examples, "YuNet", lambda *args, **kwargs: "detector")
    recipe = InpaintingTrainingConfig(points="detector")
    section = SourceConfig(image_px=PX, detector=str(tmp_path / "points.onnx"))
    chosen, flipped = np.array([7, 0, 11]), np.array([True, False, False])
    made = [
        ExampleMaker(each, recipe, section, Bright()).batch(
            chosen, flipped, np.random.default_rng(0), 1.0
        )
        for each in (faces, mapped, mapped)
    ]
    for other in made[1:]:
        assert (other.images_BHWC == made[0].images_BHWC).all()
        assert (other.alpha_BHW == made[0].alpha_BHW).all()
    assert seen == [12, 12, 12, 12]  # and the third time of the files
