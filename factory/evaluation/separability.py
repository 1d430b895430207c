"""Is everybody in a release apart from real people and from each other? The gate's certificate in
figures, and the same again from the vectors (METHODS 5, 6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.config import Config
from factory.errors import IntegrityError
from factory.evaluation.similarity import spread
from factory.identities.gallery import Gallery, itself
from factory.identities.gallery_files import check_galleries, open_here
from factory.identities.gate import nearest_of
from factory.identities.packing import nearest_of_random, smallest_possible_cosine
from factory.identities.roster import Roster, class_centres, open_recognizer
from factory.shards.plan_files import difference_from, earlier_vectors, refuse_other_inputs
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.store import Store

BLOCK = 4096
AGREEMENT = 2e-6
"""Largest difference from the roster's cosines, which have six decimals."""
LOOSE_AGREEMENT = 1e-3
"""The same for real people's centres, embedded again on a machine that is not as planned."""


def separability(plan: Plan, roster: Roster, impostor: np.ndarray) -> dict[str, Any]:
    """metrics/separability.json: the threshold, what it means among real strangers, and how near
    virtual identities come to it. Each one's own cosines are columns of roster.parquet.

    `impostor` are cosines of images of different real people by the conditioning recognizer.
    """
    virtual = [who for who in roster.identities if who.kind == "virtual"]
    limit = plan.request.max_cosine
    real = np.array([who.nearest_real_cosine for who in virtual])
    other = np.array([who.nearest_other_cosine for who in virtual])
    return {
        "num_virtual": len(virtual),
        "num_redrawn": int(sum(who.attempt > 0 for who in virtual)),
        "max_cosine": limit,
        "real_strangers": {
            "num_pairs": len(impostor),
            "false_match_rate": float((impostor >= limit).mean()) if len(impostor) else None,
        },
        "proposal": _proposal(plan, len(virtual), roster.unit_ND.shape[1]),
        "nearest_real": _spread(real),
        "nearest_other": _spread(other),
    }


def audit(
    config: Config,
    plan: Plan,
    roster: Roster,
    source: FaceSource,
    dataset: Store,
) -> dict[str, float]:
    """Compute the roster's cosines anew from its vectors, the recognizer, the source, the people of
    identities.gallery and the identities of earlier releases, in `dataset`.

    Raises IntegrityError for the first identity whose cosines are not those of the roster, or not
    below the gate. Returns the largest ones.
    """
    refuse_other_inputs(config, plan, source)
    recognizer = open_recognizer(config)
    planned = plan.request.identities
    if check_galleries(config, recognizer.dim, recognizer.sha256) != planned.gallery:
        raise IntegrityError(
            "identities.gallery: is not what the release was planned with; use those files"
        )
    further = open_here(config)
    unit_earlier_ED = earlier_vectors(dataset, planned.extends)
    here = difference_from(plan, recognizer.device)
    agreement = {"other": AGREEMENT, "real": LOOSE_AGREEMENT if here else AGREEMENT}
    centres_ND, _ = class_centres(recognizer, source, config.source.max_corrupt_fraction)
    virtual = [who for who in roster.identities if who.kind == "virtual"]
    unit_ND = np.ascontiguousarray(roster.unit_ND[: len(virtual)], np.float32)
    gallery = Gallery(recognizer.dim)
    for part in (recognizer.unit_real, centres_ND):
        gallery.add(part)
    num_real, limit = len(gallery), plan.request.max_cosine
    if unit_earlier_ED is not None:
        gallery.add(unit_earlier_ED)
    num_before = len(gallery)
    gallery.add(unit_ND)
    largest = {"real": -1.0, "other": -1.0}
    for start in range(0, len(unit_ND), BLOCK):
        part = unit_ND[start : start + BLOCK]
        found = {
            "real": nearest_of(part, gallery, num_real, further),
            "other": gallery.nearest(
                part, first=num_real, without=itself(num_before + start, len(part))
            ),
        }
        for kind, cosines in found.items():
            for who, cosine in zip(virtual[start : start + BLOCK], cosines, strict=True):
                listed = getattr(who, f"nearest_{kind}_cosine")
                if abs(cosine - listed) > agreement[kind] or cosine >= limit:
                    raise IntegrityError(
                        f"identity {who.index}: cosine to the nearest {kind} identity is "
                        f"{cosine:.6f}; the roster says {listed:.6f}, the gate {limit:.6f}"
                    )
            largest[kind] = max(largest[kind], float(cosines.max()))
    return largest


def _proposal(plan: Plan, num_virtual: int, dim: int) -> dict[str, Any]:
    """What a largest cosine of so many identities is worth: that of random directions in the
    dimensions which the proposal uses, and the one that no packing in them can undercut."""
    identities = plan.request.identities
    if identities.proposal in ("pca", "packing"):
        dim = min(dim, identities.pca_dims + 1)  # because draws are a mean and its axes
    found = {"name": identities.proposal, "num_dims": dim}
    if num_virtual < 2:
        return found
    return found | {
        "nearest_of_random": spread(nearest_of_random(num_virtual - 1, dim)),
        "smallest_possible_cosine": smallest_possible_cosine(num_virtual, dim),
    }


def _spread(values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"note": "n/a: no virtual identity"}
    return spread(values) | {"max": float(values.max())}
