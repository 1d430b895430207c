"""How good a trained generator is: error on faces, and a probe of a few drawn people (METHODS 1).

Shapes: N faces, C x h x w the denoised space, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory.diffusion.denoising_error import timestep_at
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.latent_cache import prototypes_of
from factory.diffusion.leave_one_out import LeaveOneOutCenters
from factory.diffusion.reconstruction import evenly_spaced
from factory.diffusion.trained_generator import TrainedGenerator
from factory.images import to_network
from factory.quality.texture import suffixed, texture
from factory.recognition.embed import Recognizer
from factory.sources.detector import DETECT_PX, YuNet
from factory.training.faces import Faces
from factory.training.rows import in_memory

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Noise levels t/T at which the error is measured."""
NUM_VALIDATED, NUM_DRAWN = 128, 32
"""Faces whose noise is removed, and people who are drawn."""
MOST_PEERS = 12
"""Images of a person that make a center here, to save embedding thousands."""

LEAST_DISTANCE = 1e-4
"""Mean 1 - cosine of embeddings below which it is rounding (of float32, 1e-7) more than faces."""
NO_PAIRS = {
    f"{name}{end}": reason
    for name in ("own_auc", "diversity")
    for end, reason in (("", None), ("_note", "n/a: all faces are of one person"))
}
"""Figures of faces that are all of one person."""
ALIKE = "n/a: the embeddings that were asked for are all the same"
NONE_FOUND = "n/a: the detector finds no face in the images given"


@dataclass(frozen=True)
class Examples:
    """Faces of which a generator is shown the embeddings."""

    images_NHWC: np.ndarray
    """RGB uint8."""
    labels: np.ndarray
    x_NCHW: torch.Tensor
    """The images in the denoised space."""
    unit_ND: torch.Tensor
    """What the network is conditioned on: embeddings of the images, or prototypes or centers of the
    people."""


@dataclass(frozen=True)
class MeasuredFaces:
    """The faces that the figures of a generator are of, and the networks that read them."""

    faces: Faces
    which: str
    """What they are (reconstruction.py)."""
    networks: FrozenNetworks
    condition: str
    """generator.condition."""

    def examples(self, chosen: np.ndarray) -> Examples:
        """The rows `chosen`; by center, those whose person has no other image are left out."""
        faces, kind = self.faces, self.condition
        recognizer, autoencoder = self.networks.recognizer, self.networks.autoencoder
        if kind == "center":
            chosen = chosen[np.bincount(faces.labels)[faces.labels[chosen]] > 1]
        images, labels = np.asarray(faces.images_NHWC[chosen]), faces.labels[chosen]
        x_NCHW = autoencoder.encode(images) if autoencoder else to_network(images)
        if kind == "center":
            unit_ND = centers_of(faces, chosen, recognizer)
        elif kind == "prototype":
            unit_ND = np.asarray(prototypes_of(faces, recognizer)[labels], np.float32)
        else:
            unit_ND = recognizer.embed(images)
        return Examples(images, labels, x_NCHW, torch.from_numpy(unit_ND))

    def one_of_each(self, count: int) -> Examples:
        """Examples of `count` faces, of as many people as there are."""
        return self.examples(one_of_each(self.faces.labels, count))


def centers_of(faces: Faces, chosen: np.ndarray, recognizer: Recognizer) -> np.ndarray:
    """Unit centers [B, D] of the people of faces, without the face itself.

    Of a person those chosen and up to MOST_PEERS others make it.
    """
    own = [np.flatnonzero(faces.labels == label)[:MOST_PEERS] for label in faces.labels[chosen]]
    rows = np.unique(np.concatenate([chosen, *own]))
    images = faces.images_NHWC[rows]
    both = [recognizer.embed(np.ascontiguousarray(view)) for view in (images, images[:, :, ::-1])]
    unit = in_memory([np.stack(both, 1)])
    return LeaveOneOutCenters(faces.labels[rows], unit).of(np.searchsorted(rows, chosen))


def measure_generator(generator: TrainedGenerator, given: MeasuredFaces) -> dict[str, Any]:
    """Metrics `validation` and `probe`.

    The probe also has sharpness, checkerboard and ringing of the drawn faces, each with that of the
    given ones (quality/texture.py).
    """
    shown = given.examples(evenly_spaced(len(given.faces), NUM_VALIDATED))
    people = given.one_of_each(NUM_DRAWN)
    drawn = generator.draw(people.unit_ND, "probe")
    facts = {"num_images": len(shown.labels), "faces": given.which}
    return {
        "validation": facts | denoising_ratio(generator, shown.x_NCHW, shown.unit_ND),
        "probe": probe_of(given, people, drawn)
        | texture(drawn)
        | suffixed(texture(people.images_NHWC), "given"),
    }


def probe_of(given: MeasuredFaces, people: Examples, drawn_NHWC: np.ndarray) -> dict[str, Any]:
    """The figures of `probe` and `found`, of one drawn image of each of `people`."""
    detector = YuNet("starter", enlarge_to=DETECT_PX)
    unit_drawn_ND = given.networks.recognizer.embed(drawn_NHWC)
    return (
        {"num_images": len(people.labels), "faces": given.which}
        | probe(people.unit_ND.numpy(), people.labels, unit_drawn_ND)
        | found(drawn_NHWC, people.images_NHWC, lambda image: detector.best(image) is not None)
    )


def denoising_ratio(
    generator: TrainedGenerator, x_NCHW: torch.Tensor, unit_ND: torch.Tensor
) -> dict[str, Any]:
    """`by_level`, e(t) / w(t) at LEVELS, and `ratio`, their mean.

    e is the mean squared error of the network's prediction. w is that of the best linear estimate
    of x0 from x_t, by mean and variance s^2 of each channel: s^2 (1 - a) / (a s^2 + 1 - a) with
    a = alpha_bar(t), averaged over channels. Predicting v or epsilon multiplies both by the same
    factor, so the ratio does not depend on it; with s = 1 a network that predicts v = 0 has 1.
    """
    variance_C = x_NCHW.double().var((0, 2, 3), correction=0)
    ratios = []
    for level in LEVELS:
        t = timestep_at(generator.schedule, level)
        a = float(generator.schedule.alpha_bar_T[t])
        linear = float((variance_C * (1 - a) / (a * variance_C + 1 - a)).mean())
        factor = {"x0": 1.0, "v": 1 / (1 - a), "epsilon": a / (1 - a)}[generator.prediction]
        errors = [
            generator.error(x, unit, t)
            for x, unit in zip(x_NCHW.split(NUM_DRAWN), unit_ND.split(NUM_DRAWN), strict=True)
        ]
        ratios.append(float(np.concatenate(errors).mean()) / (factor * linear))
    return {"ratio": float(np.mean(ratios)), "by_level": [round(ratio, 5) for ratio in ratios]}


def probe(
    unit_asked_ND: np.ndarray, labels: np.ndarray, unit_drawn_ND: np.ndarray
) -> dict[str, Any]:
    """Figures of faces drawn from embeddings, by the embeddings of what was drawn.

    `own_cosine_median`: of drawn faces to what they were drawn from. `own_auc`: fraction of pairs
    of a drawn face and another person of which its own embedding is nearer, ties counted half.
    `diversity`: mean 1 - cosine of drawn faces of two people, as a fraction of that of the
    embeddings. Both are None where all are of one person, and diversity where their embeddings are
    all the same, each with its reason as `*_note`.
    """
    own_N = (unit_drawn_ND * unit_asked_ND).sum(1)
    others_NN = unit_drawn_ND @ unit_asked_ND.T
    apart_NN = labels[:, None] != labels[None]
    figures: dict[str, Any] = {"own_cosine_median": float(np.median(own_N))}
    if not apart_NN.any():
        return figures | NO_PAIRS
    own_NN = np.broadcast_to(own_N[:, None], others_NN.shape)
    wins = (own_NN > others_NN) + 0.5 * (own_NN == others_NN)
    figures["own_auc"] = float(wins[apart_NN].mean())
    drawn, asked = (
        float((1 - unit @ unit.T)[apart_NN].mean()) for unit in (unit_drawn_ND, unit_asked_ND)
    )
    diversity = None if asked < LEAST_DISTANCE else drawn / asked  # of NaN, NaN
    return figures | _or_note("diversity", diversity, ALIKE)


def found(
    drawn_NHWC: np.ndarray, given_NHWC: np.ndarray, is_face: Callable[[np.ndarray], bool]
) -> dict[str, Any]:
    """Fractions of images in which a detector finds a face, and their ratio.

    That is None, with its reason, where it finds none in `given`.
    """
    drawn, given = (
        float(np.mean([is_face(image) for image in images])) for images in (drawn_NHWC, given_NHWC)
    )
    return {
        "found_fraction": drawn,
        "found_fraction_given": given,
        **_or_note("found_ratio", drawn / given if given else None, NONE_FOUND),
    }


def _or_note(name: str, figure: float | None, why: str) -> dict[str, Any]:
    """A figure; where there is none, None with the reason why."""
    return {name: figure} if figure is not None else {name: None, f"{name}_note": why}


def one_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` faces: one of evenly spaced people, more of each where they are fewer."""
    order = np.argsort(labels, kind="stable")
    _, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.arange(len(labels)) - np.repeat(first, sizes)  # which of its person's faces it is
    if len(first) >= count:
        return np.asarray(order[first[evenly_spaced(len(first), count)]])
    return np.asarray(order[np.argsort(place, kind="stable")[:count]])
