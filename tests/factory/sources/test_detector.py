"""Faces are found in photographs of any size, once each, and of several the subject comes first."""

from __future__ import annotations

import pickle
import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from factory.checkpoint import file_sha256
from factory.errors import SourceError
from factory.planning.release_lineage import KNOWN_LOOKERS
from factory.sources.alignment import TEMPLATE_52
from factory.sources.detector import (
    LARGEST_PX,
    SMALLEST_PX,
    STARTER_MODEL,
    YuNet,
    distinct,
    model_file,
    subject_first,
)
from factory.sources.landmark_tables import plausible
from factory.sources.readers import STARTER_PACK
from tests.outside import DATA

LONDON = DATA / "london/london400.tar"


def box(x: float, y: float, side: float, score: float = 0.9) -> np.ndarray:
    """A square box with its middle at (x, y), points nowhere."""
    return np.array([x - side / 2, y - side / 2, side, side, *[0.0] * 10, score])


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A rendered face that looks ahead, RGB uint8 [112, 112, 3]."""
    with tarfile.open(STARTER_PACK) as tar:
        member = tar.extractfile("00000/00.jpg")
        assert member is not None
        return np.asarray(Image.open(BytesIO(member.read())).convert("RGB"))


def photograph(
    face: np.ndarray, size: tuple[int, int], *places: tuple[int, int, int]
) -> np.ndarray:
    """A plain image, width x height, with the face pasted at (x, y) with a side in pixels."""
    image = Image.new("RGB", size, (90, 140, 150))
    for x, y, px in places:
        image.paste(Image.fromarray(face).resize((px, px), Image.Resampling.BICUBIC), (x, y))
    return np.asarray(image)


class Scales:
    """In the place of OpenCV's detector: notes the sizes it sees, and finds what `finds` gives."""

    def __init__(self, finds=lambda width, height: np.empty((0, 15))) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._finds = finds

    def setInputSize(self, size):
        self.sizes.append(size)

    def detect(self, image):
        height, width = image.shape[:2]
        assert (width, height) == self.sizes[-1]
        return 1, self._finds(width, height)


def seen_by(scales: Scales, monkeypatch, **options) -> YuNet:
    detector = YuNet("starter", **options)
    monkeypatch.setattr(detector, "_detector", scales)
    return detector


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((400, 300), [(400, 300)]),
        ((30, 30), [(30, 30)]),
        ((800, 600), [(800, 600), (400, 300)]),
        ((1280, 640), [(1280, 640), (640, 320), (320, 160)]),
    ],
)
def test_images_are_seen_at_halves_of_their_size(monkeypatch, size, sizes):
    scales = Scales()
    seen_by(scales, monkeypatch).faces(np.zeros((*size[::-1], 3), np.uint8))
    assert scales.sizes == sizes


def test_a_large_image_is_shrunk_first_and_seen_larger_only_for_small_faces(monkeypatch):
    image = np.zeros((3024, 4032, 3), np.uint8)
    nobody = Scales()
    assert seen_by(nobody, monkeypatch).faces(image).shape == (0, 15)
    first = [(1280, 960), (640, 480), (320, 240)]
    assert nobody.sizes == [*first, (2560, 1920), (4032, 3024)]
    large = Scales(lambda width, height: box(width / 2, height / 2, width / 4)[None])
    found = seen_by(large, monkeypatch).faces(image)
    assert large.sizes == first
    np.testing.assert_allclose(found[:, :4], [[1512, 1008, 1008, 1008]])  # in its own pixels
    assert max(first[0]) == LARGEST_PX
    assert max(first[-1]) <= SMALLEST_PX


@pytest.mark.parametrize(("width_px", "num_sizes"), [(39, 4), (41, 3)])
def test_faces_under_forty_pixels_are_looked_at_again(monkeypatch, width_px, num_sizes):
    """So wide where the longer side is 1280; at twice that size it is wide enough."""
    part = width_px / LARGEST_PX
    scales = Scales(lambda width, height: box(width / 2, height / 2, part * width)[None])
    seen_by(scales, monkeypatch).faces(np.zeros((3024, 4032, 3), np.uint8))
    assert len(scales.sizes) == num_sizes


def test_a_side_that_is_rounded_is_still_all_of_the_image(monkeypatch):
    """1000 x 403 pixels are seen as 500 x 202, or 201: a box of all of those is one of all."""

    def whole(width, height):
        return np.array([[0, 0, width, height, *[width, height] * 5, 0.9]])[width == 1000 :]

    (found,) = seen_by(Scales(whole), monkeypatch).faces(np.zeros((403, 1000, 3), np.uint8))
    np.testing.assert_allclose(found[:14], [0, 0, *[1000, 403] * 6])


def test_a_small_image_is_enlarged_and_answered_in_its_own_pixels(monkeypatch):
    scales = Scales(lambda width, height: np.full((1, 15), width / 2))
    image = np.zeros((64, 64, 3), np.uint8)
    assert (seen_by(scales, monkeypatch, enlarge_to=224).landmarks(image) == 32).all()
    assert (seen_by(scales, monkeypatch).landmarks(image) == 32).all()
    assert scales.sizes == [(224, 224), (64, 64)]


def test_a_face_that_is_found_at_two_scales_is_one():
    twice = np.stack([box(100, 100, 80, 0.7), box(104, 100, 84, 0.9), box(300, 100, 80, 0.8)])
    assert distinct(twice)[:, 14].tolist() == [0.9, 0.8]
    assert distinct(np.empty((0, 15))).shape == (0, 15)


def test_overlap_is_intersection_over_union():
    """Squares of 100 that are 53.85 apart have an overlap of .3, exactly 1.3/(1 + .3) in common."""
    apart = 100 * (1 - 2 * 0.3 / 1.3)
    nearer, farther = (
        np.stack([box(100, 100, 100), box(100 + apart + by, 100, 100, 0.8)]) for by in (-1, 1)
    )
    assert (len(distinct(nearer)), len(distinct(farther))) == (1, 2)


def test_an_eye_that_is_taken_for_a_face_is_a_part_of_one():
    eye, face, small = box(80, 80, 30, 0.95), box(100, 100, 120, 0.7), box(195, 100, 60, 0.9)
    assert distinct(np.stack([eye, face, small]))[:, 2].tolist() == [60, 120]


def test_weights_are_those_of_the_equation():
    """Where all but one factor are equal, the other decides at its ratio."""
    in_corner = np.exp(2.0)  # a face in a corner weighs exp(-2)
    for ratio, first in ((0.99, "middle"), (1.01, "corner")):
        side = 10 * np.sqrt(in_corner * ratio)
        two = np.stack([box(200, 150, 10), box(400, 300, side)])
        assert (subject_first(two, 400, 300)[0, 2] == 10) == (first == "middle")
    sure, unsure = box(200, 150, 10, 0.9), box(200, 150, 10 * np.sqrt(1.4), 0.6)
    assert subject_first(np.stack([sure, unsure]), 400, 300)[0, 14] == 0.9
    larger = box(200, 150, 10 * np.sqrt(1.6), 0.6)
    assert subject_first(np.stack([sure, larger]), 400, 300)[0, 14] == 0.6


@pytest.mark.parametrize(
    ("faces", "subject"),
    [
        ([box(200, 300, 600, 0.80), box(1080, 780, 160, 0.95)], 0),  # a bystander, seen better
        ([box(600, 500, 30, 0.90), box(250, 400, 400, 0.85)], 1),  # a false one in the middle
        ([box(x, 500, 150, 0.9) for x in (150, 350, 620, 850, 1050)], 2),  # a group in a row
    ],
)
def test_the_largest_and_central_face_is_meant(faces, subject):
    ordered = subject_first(np.stack(faces), 1200, 1000)
    assert np.array_equal(ordered[0], faces[subject])


def test_a_portrait_of_twelve_megapixels_is_one_face(face):
    image = photograph(face, (3024, 4032), (600, 900, 1800))
    found = YuNet("starter").faces(image)
    assert len(found) == 1
    points = found[0, 4:14].reshape(5, 2)
    wanted = TEMPLATE_52 * (1800 / 112) + [600, 900]
    assert np.abs(points - wanted).max() < 0.2 * (wanted[1, 0] - wanted[0, 0])


def test_faces_of_thirty_pixels_to_the_whole_image_are_found(face):
    detector = YuNet("starter")
    for size, place in (((800, 600), (500, 300, 40)), ((700, 700), (0, 0, 700))):
        (found,) = detector.faces(photograph(face, size, place))
        wanted = TEMPLATE_52 * (place[2] / 112) + place[:2]
        assert np.abs(found[4:14].reshape(5, 2) - wanted).max() < 0.2 * place[2]


def test_confidence_below_the_least_is_no_face(face):
    image = photograph(face, (300, 300), (90, 90, 120))
    score = YuNet("starter").faces(image)[0, 14]
    assert len(YuNet("starter", min_score=score - 0.01).faces(image)) == 1
    assert len(YuNet("starter", min_score=score + 0.01).faces(image)) == 0


def test_a_detector_goes_to_another_process(face):
    detector, image = YuNet("starter"), photograph(face, (300, 300), (90, 90, 120))
    found = detector.faces(image)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(detector)).faces(image), found)


def test_the_file_of_a_detector(tmp_path, monkeypatch):
    (tmp_path / "starter").touch()
    monkeypatch.chdir(tmp_path)
    assert model_file("starter") == STARTER_MODEL  # whatever lies in this folder
    assert KNOWN_LOOKERS[file_sha256(STARTER_MODEL)] == "Apache-2.0"
    with pytest.raises(SourceError, match=r"source\.detector: no file .*none\.onnx.*want starter"):
        YuNet(str(tmp_path / "none.onnx"))


@pytest.mark.skipif(not LONDON.is_file(), reason="needs London's photographs in FACE_FACTORY_DATA")
@pytest.mark.slow
def test_everybody_in_london_is_found_with_the_points_of_a_face():
    detector, points, counts = YuNet("starter"), [], []
    with tarfile.open(LONDON) as tar:
        for member in (member for member in tar if member.isfile()):
            data = tar.extractfile(member)
            assert data is not None
            faces = detector.faces(np.asarray(Image.open(data).convert("RGB")))
            counts.append(len(faces))
            points.append(faces[0, 4:14].reshape(5, 2))
    assert len(counts) == 204
    assert counts == [1] * 204
    assert plausible(np.stack(points), 100).all()
