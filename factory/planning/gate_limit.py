"""Is there room for the people that a release wants, and which limit gives it: before any is drawn.

What the gate will compare is drawn here in small, proposals with each other and with real people
(identities/capacity.py). What preflight can know depends on where candidates come from:

- pca: they are drawn from the class centers of the source, here of at most MAX_IMAGES images. A
  person of the source counts twice among the real ones, as prototype and center, as in the gate.
- prototypes, inquiry and packing: a pool is not drawn, so no attempts are counted, and planning
  says within its gate how many a pool gave. Preflight refuses a pool with too few candidates, and a
  limit that no packing at all can keep (identities/packing.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import Config
from factory.errors import PlanError
from factory.identities.capacity import (
    NUM_PROPOSALS,
    Capacity,
    Crowding,
    RealPeople,
    measure_crowding,
)
from factory.identities.gallery_files import gallery_files
from factory.identities.packing import smallest_possible_cosine
from factory.identities.proposals import PcaProposal
from factory.identities.roster_building import BATCH, open_recognizer
from factory.recognition.embed import Recognizer
from factory.sources import FaceSource
from factory.sources.base import CorruptImageError, SourceFace
from factory.training.distributed import kept_threads

FEW_PEOPLE = 1000
"""Up to so many people, real ones included, the gate itself says within seconds that it is full."""
MAX_IMAGES = 4096
"""Images of the source that are embedded to know its space."""
MAX_IMAGES_EACH = 10
"""Of one person, where the source has more than MAX_IMAGES."""
LEAST_PEOPLE = 3
"""That PCA proposals can be learned from."""
MAX_REAL = 4096
"""Vectors of real people, of one kind, that proposals are compared with."""
SEED_OFFSET = 1 << 32
"""Added to the release's seed, so that these are other proposals than the plan's."""


@dataclass(frozen=True)
class Limit:
    """The gate's limit, and how many people it has room for.

    None where nothing can be said of them, or need be.
    """

    max_cosine: float
    capacity: Capacity | None = None


def settle_limit(
    config: Config, recognizer: dict[str, Any], source: FaceSource, num_earlier: int
) -> Limit:
    """The limit of a config's gate; raises PlanError where it cannot hold the people wanted.

    identities.max_cosine=None begins with the recognizer's cosine at FMR 1e-3 and is raised as far
    as the number of people needs. `recognizer` is its checkpoint's metadata; `num_earlier` counts
    the people of extended releases.
    """
    heldout = recognizer["metrics"].get("heldout") or {}
    auto = config.identities.max_cosine is None
    if auto and not heldout:
        raise PlanError(
            "identities.max_cosine: auto needs the recognizer's cosine at FMR 1e-3, but it was "
            "trained without held-out people; set identities.max_cosine"
        )
    if auto and heldout["cosine_at_fmr_1e-3"] is None:
        raise PlanError(
            "identities.max_cosine: auto needs the recognizer's cosine at FMR 1e-3, but its "
            f"held-out people gave none ({heldout['note']}); set identities.max_cosine"
        )
    too_alike = heldout.get("genuine_mean")
    limit = config.identities.max_cosine
    limit = round(float(heldout["cosine_at_fmr_1e-3"]), 6) if limit is None else limit
    wanted = config.plan.num_admitted(config.identities.num_virtual)
    if not wanted or config.release.method == "edit":
        return Limit(limit)
    if config.identities.proposal != "pca":
        dim = int(recognizer["config"]["embedding_dim"])
        most = 1.0 if too_alike is None else too_alike
        return Limit(_within_bound(config, source, dim, limit, most, num_earlier))
    num_real = len(recognizer["config"]["real_names"]) + len(source.names)
    num_real += sum(part.count for part in _gallery_people(config))
    if wanted + num_earlier + num_real <= FEW_PEOPLE:
        return Limit(limit)
    with kept_threads():
        crowding = _crowding(config, open_recognizer(config), source, num_earlier)
    return _with_capacity(config, crowding, limit, too_alike)


def describe_capacity(capacity: Capacity | None) -> str:
    """The room under a limit in words; empty where nothing is said of it."""
    return f", room for {_of(capacity)}" if capacity else ""


def _with_capacity(
    config: Config, crowding: Crowding, limit: float, too_alike: float | None
) -> Limit:
    """The limit, raised where it is auto; raises PlanError where it cannot hold the people."""
    identities = config.identities
    wanted = config.plan.num_admitted(identities.num_virtual)
    attempts = identities.max_attempts
    auto, capacity = identities.max_cosine is None, crowding.holds(limit, attempts)
    if capacity.at_most >= wanted and (capacity.surely >= wanted or not auto):
        return Limit(limit, capacity)
    by_group = max(1, attempts // max(1, len(identities.quotas)))  # others count as attempts too
    allowed = max(limit, crowding.allowed_cosine(wanted, by_group))
    if too_alike is not None and allowed > too_alike:
        most = _rounded(crowding.holds(too_alike, by_group).surely)
        raise PlanError(
            f"identities.num_virtual: got {wanted}, which needs identities.max_cosine="
            f"{allowed:.3f}: different people would be more alike than two images of one person "
            f"are on average ({too_alike:.3f}); want at most {most}, or a recognizer that was "
            "trained on more people"
        )
    if auto:
        return Limit(allowed, crowding.holds(allowed, attempts))
    surely = _rounded(capacity.surely)
    fewer = f"at most {surely}, or " if surely else ""
    raise PlanError(
        f"identities.num_virtual: got {wanted}; identities.max_cosine={limit:.3f} has room for "
        f"{_of(capacity)}, until one is refused identities.max_attempts={attempts} times in a row; "
        f"want {fewer}identities.max_cosine={allowed:.3f}, which auto (null) takes"
    )


def _of(capacity: Capacity) -> str:
    if capacity.people < 1:
        return "nobody beside the real people"
    return f"about {_rounded(capacity.people)} people (standard error {capacity.error:.0%})"


def _rounded(number: float) -> int:
    """Down to two digits, because the error is larger than the third."""
    unit = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return int(number // unit * unit)


def _crowding(
    config: Config, recognizer: Recognizer, source: FaceSource, num_earlier: int
) -> Crowding:
    """How proposals of pca fill the space of this recognizer and source."""
    dims, seed = config.identities.pca_dims, config.release.seed + SEED_OFFSET
    centers_SD = sampled_centers(recognizer, source)
    real = [
        RealPeople(len(recognizer.unit_real), _some(recognizer.unit_real)),
        RealPeople(len(source.names), _some(centers_SD)),
        *_gallery_people(config),
    ]
    error = 0.0
    if len(source) > MAX_IMAGES and len(centers_SD) >= 2 * LEAST_PEOPLE:
        halves = [_drawn(centers_SD[first::2], dims, seed, 2048) for first in (0, 1)]
        error = _sampling_error(*halves)
    unit_PD = _drawn(centers_SD, dims, seed, NUM_PROPOSALS)
    return measure_crowding(unit_PD, real, num_earlier, error)


def _drawn(centers_SD: np.ndarray, dims: int, seed: int, count: int) -> np.ndarray:
    rows = np.arange(count)
    return PcaProposal(centers_SD, dims, seed).draw(rows, np.zeros_like(rows))


def _sampling_error(unit_PD: np.ndarray, other_PD: np.ndarray) -> float:
    """Standard error of log p by proposals that learned from either half of the people.

    Half the difference of two halves has the expected square of the whole's variance.
    """
    cosines = [
        unit @ unit.T - 2 * np.eye(len(unit), dtype=unit.dtype) for unit in (unit_PD, other_PD)
    ]
    limit = np.quantile(cosines[0], 1 - 1e-3)
    rates = [max(float((cosine > limit).mean()), 1e-9) for cosine in cosines]
    return abs(math.log(rates[0] / rates[1])) / 2


def sampled_centers(recognizer: Recognizer, source: FaceSource) -> np.ndarray:
    """Unit mean embeddings of people of a source [S, D], from at most MAX_IMAGES of its images.

    They are all people where the source has no more, else some who are spread evenly. An image that
    cannot be read is left out: planning counts those.
    """
    sums_ND = np.zeros((len(source.names), recognizer.dim))
    chosen = _chosen(source)
    for start in range(0, len(chosen), BATCH):
        faces = list(_readable(source, chosen[start : start + BATCH]))
        if faces:
            unit_BD = recognizer.embed(np.stack([face.image_HWC for face in faces]))
            np.add.at(sums_ND, [face.label for face in faces], unit_BD)
    length_N = np.linalg.norm(sums_ND, axis=1)
    center_SD = sums_ND[length_N > 0] / length_N[length_N > 0, None]
    return np.asarray(center_SD.astype(np.float32))


def _readable(source: FaceSource, indices: np.ndarray) -> Iterator[SourceFace]:
    for index in indices.tolist():
        try:
            yield source[index]
        except CorruptImageError:
            continue


def _chosen(source: FaceSource) -> np.ndarray:
    """Indices of the images to embed, rising: all, or the first few of some people."""
    if len(source) <= MAX_IMAGES:
        return np.arange(len(source))
    order = np.argsort(source.labels, kind="stable")
    label_N = source.labels[order]
    is_early = np.arange(len(order)) - np.searchsorted(label_N, label_N) < MAX_IMAGES_EACH
    order, label_N = order[is_early], label_N[is_early]
    every = math.ceil(len(order) / MAX_IMAGES)
    return np.asarray(np.sort(order[np.isin(label_N, np.unique(label_N)[::every])]))


def _some(unit_RD: np.ndarray) -> np.ndarray:
    """At most MAX_REAL of the rows, spread evenly: float32."""
    return np.asarray(unit_RD[:: max(1, math.ceil(len(unit_RD) / MAX_REAL))], np.float32)


def _gallery_people(config: Config) -> list[RealPeople]:
    """The people of identities.gallery, file by file."""
    mapped = [np.load(file, mmap_mode="r", allow_pickle=False) for file in gallery_files(config)]
    return [RealPeople(len(unit_RD), _some(unit_RD)) for unit_RD in mapped]


def _within_bound(
    config: Config, source: FaceSource, dim: int, limit: float, too_alike: float, num_earlier: int
) -> float:
    """The limit, which some packing of the people can keep; raises PlanError where none can."""
    identities = config.identities
    people = config.plan.num_admitted(identities.num_virtual) + num_earlier
    if identities.proposal == "packing":
        dim = min(dim, identities.pca_dims + 1, len(source.names))
    bound = smallest_possible_cosine(people, max(dim, 2))
    if bound < limit:
        return limit
    least = math.ceil(bound * 1000 + 1) / 1000
    if identities.max_cosine is None and least <= too_alike:
        return least
    raise PlanError(
        f"identities.num_virtual: got {identities.num_virtual}; {people} people cannot all stay "
        f"below identities.max_cosine={limit:.3f} to each other in the {dim} dimensions that they "
        f"are proposed in, however they are packed; want far fewer, or one far above {bound:.3f}"
    )
