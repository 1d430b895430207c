"""The audit of faces that are given as vectors, the way units are audited one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import AuditConfig
from factory.evaluation.consistency import class_figures
from factory.evaluation.embeddings import RealFaces
from factory.evaluation.leakage import Audit, LeakageTally, compare_unit
from factory.evaluation.real_people import NOBODY
from factory.evaluation.yardstick import Yardstick, people_of


@dataclass(frozen=True)
class MadeFaces:
    """Kept faces of a unit: metadata rows, and vectors by the judge and as hashes."""

    rows: list[dict[str, Any]]
    judge_ND: np.ndarray
    hash_NB: np.ndarray


def yardstick_of(real: RealFaces, hashes: RealFaces) -> Yardstick:
    """The yardstick by some faces and hashes of one orientation."""
    none = RealFaces(hashes.unit_ND[:0], hashes.labels[:0], hashes.indices[:0])
    return people_of(real, hashes, none)


def leakage(
    config: AuditConfig,
    made: Sequence[MadeFaces],
    real: RealFaces,
    hashes: RealFaces,
    own_label: dict[int, int],
) -> Audit:
    """Audit units, which are numbered from 0 on."""
    yardstick = yardstick_of(real, hashes)
    tally = LeakageTally(config, yardstick)
    for unit, faces in enumerate(made):
        keys = [row["key"] for row in faces.rows]
        identities = [row["identity"] for row in faces.rows]
        identity_K = np.array(list(dict.fromkeys(identities)))
        class_N = np.array([identity_K.tolist().index(identity) for identity in identities])
        own_K = np.array([own_label.get(identity, NOBODY) for identity in identity_K.tolist()])
        centers = class_figures(faces.judge_ND, class_N).center_KD
        compared = compare_unit(
            *yardstick.galleries, faces.judge_ND, faces.hash_NB, centers, own_K[class_N], own_K
        )
        tally.add(unit, keys, identity_K, compared)
    return tally.finish(lambda unit, row: made[unit].rows[row])
