"""Templates are normalized sums of unit vectors; what cannot be read is counted."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import SourceError
from factory.recognition import templates as module
from factory.recognition.search_protocols import Side
from factory.recognition.templates import average, embed_templates
from factory.sources import CorruptImageError, FaceSet
from tests.vectors import unit_rows


def test_an_average_is_that_of_a_plain_loop():
    unit, template = unit_rows(0, 20, 6), np.random.default_rng(0).integers(0, 5, 20)
    found = average(unit, template, 6)
    for number in range(5):
        total = sum(unit[i].astype(np.float64) for i in range(20) if template[i] == number)
        np.testing.assert_allclose(found[number], total / np.linalg.norm(total), atol=1e-7)
    assert not found[5].any()  # no image
    assert found.dtype == np.float32
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert average(opposite, np.zeros(2, int), 1).tolist() == [[0.0, 0.0]]


class Damaged(FaceSet):
    """A source whose black images cannot be read."""

    def __getitem__(self, index):
        if not self.images_NHWC[index].any():
            raise CorruptImageError(f"{self.keys[index]}: no face found")
        return super().__getitem__(index)


class ByCorner:
    """Embeds an image as its first pixel, and notes how many come at once."""

    dim, sha256, image_px, mirror_sum = 3, "", 2, "unit"

    def __init__(self):
        self.sizes = []

    def embed_with_mirror(self, images):
        self.sizes.append(len(images))
        corner = images[:, 0, 0].astype(np.float32)
        return corner / np.linalg.norm(corner, axis=1, keepdims=True)


@pytest.fixture
def side() -> Side:
    images = np.zeros((5, 2, 2, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 1], images[3, ..., 2] = 10, 20, 30
    faces = Damaged(
        images, np.array([0, 0, 0, 1, 2]), [f"Ann/{i}" for i in range(5)], ["Ann"] * 3, []
    )
    # the second template has one image that cannot be read, the fourth none that can
    return Side(faces, np.array([3, 0, 1, 2, 4]), np.array([0, 1, 1, 1, 2]), np.array([1, 0, 2]))


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_a_side_is_embedded_batch_by_batch_and_failures_are_counted(side, batch, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch)
    embedder = ByCorner()
    found = embed_templates(embedder, side, 0.5, keep_failed=False)
    assert max(embedder.sizes) <= batch
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found.unit_TD, [[0, 0, 1], [half, half, 0]], atol=1e-7)
    assert found.person_T.tolist() == [1, 0]
    assert (found.num_images, found.num_failed) == (5, 2)
    kept = embed_templates(embedder, side, 0.5, keep_failed=True)
    assert kept.person_T.tolist() == [1, 0, 2]
    assert kept.acquired_T.tolist() == [True, True, False]
    assert not kept.unit_TD[2].any()


def test_too_many_failures_refuse_the_side_without_a_name(side):
    with pytest.raises(SourceError, match=r"more than 1 of 5 images cannot be used") as caught:
        embed_templates(ByCorner(), side, 0.3, keep_failed=True)
    assert "Ann" not in str(caught.value)
