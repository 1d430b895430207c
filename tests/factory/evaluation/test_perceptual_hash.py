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


def test_a_hash_is_the_signs_of_low_frequencies_against_their_median():
    """DCT-II of 64x64 means written out; the first of 16x16 says light, and is never above."""
    gray = np.random.default_rng(3).integers(0, 255, (3, 128, 128), np.uint8)
    gray[1] //= 3
    gray[2, :64] //= 2  # much of one low frequency, so that the median is not 0
    hashes = PerceptualHash().embed(np.repeat(gray[..., None], 3, axis=3))
    n = np.arange(64)
    wave = np.cos(np.pi * (n[None] + 0.5) * n[:, None] / 64)
    for image, found in zip(gray.astype(float), hashes, strict=True):
        small = image.reshape(64, 2, 64, 2).mean((1, 3))
        scale = np.where(n == 0, np.sqrt(1 / 64), np.sqrt(2 / 64))
        low = ((wave @ small @ wave.T) * scale * scale[:, None])[:16, :16].ravel()
        wanted = np.where(low > np.median(low[1:]), 1, -1)
        wanted[0] = -1
        assert (np.sign(found) != wanted).sum() <= 2  # nearer to the median than float32 tells
        assert found[0] < 0
