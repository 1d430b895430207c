"""What is compared in an attack: real images with draws, and real images among themselves.

Every score is of a real image, and larger for one that the generator rather has learned from: how
near some draw comes to it. Pixel distances are relative to the draw's mean distance to its nearest
images of other people, because plain ones find flat pictures only (Carlini et al. 2023, "Extracting
training data from diffusion models", section 4.2, eq 2). The baselines never ask the generator:
where they tell members from others, the two sides differ by themselves.

Shapes: B draws, N real images, D dimensions of a space, F pixels of an image.
"""

from __future__ import annotations

import numpy as np

from factory.evaluation.attack_people import AttackedPeople
from factory.evaluation.embeddings import Space
from factory.evaluation.perceptual_hash import MIN_DUPLICATE_COSINE, PerceptualHash

PIXEL_SIDE = 112
"""Larger images are scaled down to this side before their pixels are compared."""
NEIGHBORS = 20
"""Images of other people whose mean distance a pixel distance is relative to."""
REAL_AT_ONCE = 256
"""Real images whose pixels are held as floats together."""


class Gallery:
    """The real images as draws are compared with them: vectors, hashes both ways, and pixels."""

    def __init__(self, people: AttackedPeople, space: Space) -> None:
        self.people, self._space = people, space
        images_NHWC = people.images_NHWC
        self.unit_ND = space.embed(images_NHWC)
        self._hashes = [PerceptualHash(m).embed(images_NHWC) for m in (False, True)]
        self._small_NHWC = small(images_NHWC)

    def cosines(self, images_BHWC: np.ndarray) -> np.ndarray:
        """Cosines [B, N] of draws and real images."""
        return np.asarray(self._space.embed(images_BHWC) @ self.unit_ND.T)

    def hash_cosines(self, images_BHWC: np.ndarray) -> np.ndarray:
        """The same of perceptual hashes, of the real image or its mirror image."""
        drawn_BD = PerceptualHash().embed(images_BHWC)
        plain_BN, mirrored_BN = (drawn_BD @ hashes_ND.T for hashes_ND in self._hashes)
        return np.asarray(np.maximum(plain_BN, mirrored_BN))

    def distances(self, images_BHWC: np.ndarray) -> np.ndarray:
        """Root mean square differences [B, N] of pixels in [0, 1], the nearer mirror image's."""
        drawn = small(images_BHWC)
        both = [_flat(drawn), _flat(drawn[:, :, ::-1])]
        parts = []
        for start in range(0, len(self._small_NHWC), REAL_AT_ONCE):
            real_NF = _flat(self._small_NHWC[start : start + REAL_AT_ONCE])
            parts.append(np.minimum(*(_squares(drawn_BF, real_NF) for drawn_BF in both)))
        return np.asarray(np.sqrt(np.concatenate(parts, 1)))


class OwnDraws:
    """The largest likeness of every real image to draws at its own person's embedding."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        size = len(gallery.people.person_N)
        self.cosine_N, self.hash_N, self.pixels_N = np.full((3, size), -np.inf)
        self.copies_of, self.draws_of = np.zeros((2, gallery.people.num_people), int)

    def add(self, images_BHWC: np.ndarray, person_B: np.ndarray) -> None:
        """Compare draws with the images of the people at whose embeddings they were made."""
        gallery = self._gallery
        own_BN = person_B[:, None] == gallery.people.person_N[None]
        cosine_BN, hash_BN = gallery.cosines(images_BHWC), gallery.hash_cosines(images_BHWC)
        pixels_BN = -relative_distances(gallery.distances(images_BHWC), own_BN)
        for best_N, values_BN in (
            (self.cosine_N, cosine_BN),
            (self.hash_N, hash_BN),
            (self.pixels_N, pixels_BN),
        ):
            np.maximum(best_N, np.where(own_BN, values_BN, -np.inf).max(0), out=best_N)
        copied_B = (own_BN & (hash_BN >= MIN_DUPLICATE_COSINE)).any(1)
        np.add.at(self.copies_of, person_B[copied_B], 1)
        np.add.at(self.draws_of, person_B, 1)


class AnybodysDraws:
    """The largest cosine of every real image to draws at nobody's embedding."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self.cosine_N = np.full(len(gallery.people.person_N), -np.inf)
        self.near_copies = 0
        self._nearest: list[np.ndarray] = []

    def add(self, images_BHWC: np.ndarray) -> None:
        """Compare draws with everybody."""
        cosine_BN = self._gallery.cosines(images_BHWC)
        np.maximum(self.cosine_N, cosine_BN.max(0), out=self.cosine_N)
        hash_BN = self._gallery.hash_cosines(images_BHWC)
        self.near_copies += int((hash_BN >= MIN_DUPLICATE_COSINE).any(1).sum())
        people = self._gallery.people
        self._nearest.append(person_maxima(cosine_BN, people.person_N, people.num_people))

    @property
    def nearest_BP(self) -> np.ndarray:
        """Largest cosine of every draw to every person [B, P]."""
        return np.concatenate(self._nearest)


def person_maxima(values_BN: np.ndarray, person_N: np.ndarray, num_people: int) -> np.ndarray:
    """Largest value of each person [B, P]."""
    best_PB = np.full((num_people, len(values_BN)), -np.inf)
    np.maximum.at(best_PB, person_N, values_BN.T)
    return best_PB.T


def relative_distances(distance_BN: np.ndarray, own_BN: np.ndarray) -> np.ndarray:
    """Distances divided by the draw's mean distance to its nearest images of other people."""
    others_BN = np.sort(np.where(own_BN, np.inf, distance_BN), 1)[:, :NEIGHBORS]
    is_there = np.isfinite(others_BN)
    mean_B = np.where(is_there, others_BN, 0).sum(1) / is_there.sum(1)
    return np.asarray(distance_BN / np.maximum(mean_B, 1e-9)[:, None])


def standardized_mean(losses_LN: np.ndarray) -> np.ndarray:
    """Mean over noise levels [N], of losses with mean 0 and deviation 1 over images at each."""
    mean_L1 = losses_LN.mean(1, keepdims=True)
    deviation_L1 = np.maximum(losses_LN.std(1, keepdims=True), 1e-12)
    return np.asarray(((losses_LN - mean_L1) / deviation_L1).mean(0))


def blind_scores(images_NHWC: np.ndarray, unit_ND: np.ndarray) -> dict[str, np.ndarray]:
    """Scores [N] of images alone, by name; `unit_ND` are their vectors by whoever judges."""
    gray_NHW = images_NHWC.astype(np.float32).mean(3)
    flat_NF = _flat(small(images_NHWC))
    center_D = unit_ND.mean(0) / np.linalg.norm(unit_ND.mean(0))
    return {
        "brightness": gray_NHW.mean((1, 2)),
        "contrast": gray_NHW.std((1, 2)),
        "sharpness": _sharpness(gray_NHW),
        "pixel distance to the mean face": -np.sqrt(np.square(flat_NF - flat_NF.mean(0)).mean(1)),
        "cosine to the mean face": unit_ND @ center_D,
    }


def own_cosines(unit_ND: np.ndarray, person_N: np.ndarray) -> np.ndarray | None:
    """Cosine of each image to its person's other images [N]; None where somebody has but one."""
    counts = np.bincount(person_N)
    if counts.min() < 2:
        return None
    sums_PD = np.zeros((len(counts), unit_ND.shape[1]))
    np.add.at(sums_PD, person_N, unit_ND)
    others_ND = sums_PD[person_N] - unit_ND
    return np.asarray((others_ND * unit_ND).sum(1) / np.linalg.norm(others_ND, axis=1))


def small(images_NHWC: np.ndarray) -> np.ndarray:
    """The images, at most PIXEL_SIDE pixels a side."""
    import cv2

    if images_NHWC.shape[1] <= PIXEL_SIDE:
        return images_NHWC
    size, area = (PIXEL_SIDE, PIXEL_SIDE), cv2.INTER_AREA
    return np.stack([cv2.resize(image, size, interpolation=area) for image in images_NHWC])


def _flat(images_NHWC: np.ndarray) -> np.ndarray:
    return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) / 255


def _squares(drawn_BF: np.ndarray, real_NF: np.ndarray) -> np.ndarray:
    """Mean squared differences [B, N]."""
    squares_BN = (
        np.square(drawn_BF).sum(1)[:, None]
        + np.square(real_NF).sum(1)[None]
        - 2 * drawn_BF @ real_NF.T
    )
    return np.asarray(np.maximum(squares_BN / drawn_BF.shape[1], 0))


def _sharpness(gray_NHW: np.ndarray) -> np.ndarray:
    """Variance of the Laplacian."""
    import cv2

    return np.array([cv2.Laplacian(gray, cv2.CV_32F).var() for gray in gray_NHW])
