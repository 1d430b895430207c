"""How hard the pairs of a test set are: AUC of each of its sets, by every recognizer that is given.

The recognizer that conditions also chose who looks alike, so what it says of look-alikes is a
selection; the judge says whether it holds.

Shapes: K pairs, R resamplings.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from factory.evaluation.embeddings import Space
from factory.evaluation.metrics.hardness import PairsAuc, SetHardness
from factory.evaluation.metrics.values import Interval, NotMeasured
from factory.recognition.pairs import read_bin
from factory.recognition.resampling import LEAST_PEOPLE, interval, pair_weights, people_counts
from factory.shards import layout
from factory.store import Store

BIN = ".bin"


def hardness(
    store: Store, image_px: int, spaces: Mapping[str, Space], seed: int
) -> dict[str, SetHardness]:
    """AUC of every set of pairs of a sealed test set, by the recognizers' names."""
    names = [Path(name).stem for name in store.list(layout.PAIRS) if name.endswith(BIN)]
    return {name: _of_set(store, name, image_px, spaces, seed) for name in sorted(names)}


def _of_set(
    store: Store, name: str, image_px: int, spaces: Mapping[str, Space], seed: int
) -> SetHardness:
    first_K, second_K = _people(store.get(layout.pairs_name(name, "csv")))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}{BIN}"
        file.write_bytes(store.get(layout.pairs_name(name, "bin")))
        pairs = read_bin(file, image_px)
    num_people = 1 + int(max(first_K.max(), second_K.max()))
    counts_RP = people_counts(num_people, seed) if num_people >= LEAST_PEOPLE else None
    by = {}
    for who, space in spaces.items():
        unit_ND = space.embed(pairs.images_NHWC)
        cosine_K = (unit_ND[0::2] * unit_ND[1::2]).sum(1)
        bounds: Interval | NotMeasured = NotMeasured("n/a: too few people to resample")
        if counts_RP is not None:
            weights = (pair_weights(counts_P, first_K, second_K) for counts_P in counts_RP)
            bounds = interval(
                np.array([weighted_auc(cosine_K, pairs.same, w_K) for w_K in weights])
            )
        ones_K = np.ones(len(cosine_K))
        by[who] = PairsAuc(weighted_auc(cosine_K, pairs.same, ones_K), bounds)
    return SetHardness(len(pairs.same), num_people, by)


def weighted_auc(cosine_K: np.ndarray, same_K: np.ndarray, weight_K: np.ndarray) -> float:
    """Chance that a genuine pair has the larger cosine, ties counted half, pairs by weight.

    NaN where a kind has no weight.
    """
    value_V, at_K = np.unique(cosine_K, return_inverse=True)
    genuine_V = np.bincount(at_K, weight_K * same_K, len(value_V))
    impostor_V = np.bincount(at_K, weight_K * ~same_K, len(value_V))
    total = genuine_V.sum() * impostor_V.sum()
    below_V = np.cumsum(impostor_V) - impostor_V / 2
    return float((genuine_V * below_V).sum() / total) if total else float("nan")


def _people(table: bytes) -> tuple[np.ndarray, np.ndarray]:
    """People of the first and of the second images [K], from 0 without gaps."""
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    labels = np.array([[int(row["identity_1"]), int(row["identity_2"])] for row in rows])
    people_K2 = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return people_K2[:, 0], people_K2[:, 1]
