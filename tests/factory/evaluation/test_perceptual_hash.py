"""What moves a hash of pixels, and what does not."""

from __future__ import annotations

import numpy as np
from PIL import Image

from factory.evaluation.perceptual_hash import PerceptualHash


def test_pixel_hashes_ignore_light_and_see_mirrors():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (2, 14, 14, 3), np.uint8)
    faces = np.stack([np.asarray(Image.fromarray(s).resize((112, 112))) for s in small])
    darker = (faces * 0.6 + 20).astype(np.uint8)
    plain, mirrored = PerceptualHash(), PerceptualHash(mirrored=True)
    cosine = plain.embed(faces) @ plain.embed(darker).T
    assert cosine.diagonal().min() > 0.95
    assert abs(cosine[0, 1]) < 0.4
    assert np.array_equal(plain.embed(faces[:, :, ::-1]), mirrored.embed(faces))
    assert plain.sha256 != mirrored.sha256


def test_a_hash_is_a_unit_vector_of_signs():
    faces = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    vectors = PerceptualHash().embed(faces)
    assert vectors.shape == (2, 256)
    assert set(np.unique(vectors)) == {-1 / 16, 1 / 16}
    assert PerceptualHash().has_unit_length
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
