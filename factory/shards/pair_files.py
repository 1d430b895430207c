"""Pairs, gallery and probes of a release for testing, as files of it: CSV, and insightface's .bin.

A .bin is a pickle of (images, flags), lists of byte strings and of booleans (METHODS 8).
"""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config.pairs import EQUAL, PairsConfig
from factory.errors import PlanError
from factory.shards import layout
from factory.shards.manifest import NEVER_TRAIN
from factory.shards.pair_choice import (
    Bin,
    Chosen,
    bins_of,
    choose,
    gallery_and_probes,
    genuine_pairs,
    impostor_pairs,
    lookalike_pairs,
    pair_values,
)
from factory.shards.reader import metadata_rows, read_face
from factory.shots.plan import Plan
from factory.store import Store
from factory.store.json_text import json_text
from factory.store.parquet import read_table

LOOKALIKES = "lookalikes"
PICKLE = 4
"""Protocol of a .bin, as Python 3 writes them."""


@dataclass(frozen=True)
class KeptFaces:
    """Kept faces of a release, shard by shard."""

    rows: list[dict[str, Any]]
    units: list[int]

    @property
    def person_N(self) -> np.ndarray:
        """Whose each is."""
        return np.array([row["identity"] for row in self.rows], np.int64)

    def column(self, name: str) -> np.ndarray:
        """A column of the metadata [N], numbers as float64 with NaN where there are none.

        Raises PlanError where the release has no such column.
        """
        if not all(name in row for row in self.rows):
            raise PlanError(
                f"pairs.bins.{name}: the metadata of this release has no such column; want one "
                "that its method knows, under another version"
            )
        values = [row[name] for row in self.rows]
        return np.array(values, object if name in EQUAL else np.float64)


def write_pairs(store: Store, plan: Plan) -> list[str]:
    """Write pairs/ of a release with release.kind=benchmark; names of its files, in any other none.

    The same release gives the same bytes. Raises PlanError where no bin has a pair.
    """
    config, seed = plan.request.pairs, plan.request.release.seed
    if config is None:
        return []
    faces = _kept_faces(store, plan)
    sets = {chosen_bin.name: chosen for chosen_bin, chosen in _sets(store, faces, config, seed)}
    if not any(len(chosen.same_K) for chosen in sets.values()):
        raise PlanError(
            "pairs.bins: no bin has a genuine and an impostor pair; want other edges, or more "
            "images of each person, under another version"
        )
    contents = {layout.PAIRS_INDEX: _index(sets, config, seed), **_lists(faces, config, seed)}
    for name, chosen in sets.items():
        if len(chosen.same_K):
            contents[layout.pairs_name(name, "csv")] = _pairs_csv(faces, chosen)
            contents[layout.pairs_name(name, "bin")] = _bin(store, faces, chosen)
    for name, data in contents.items():
        store.put_once(name, data)
    return list(contents)


def _sets(
    store: Store, faces: KeptFaces, config: PairsConfig, seed: int
) -> Iterable[tuple[Bin, Chosen]]:
    """Pairs of each bin, then of people who look alike."""
    person_N = faces.person_N
    genuine_K2, impostor_K2 = genuine_pairs(person_N, seed), impostor_pairs(person_N, seed)
    for one in bins_of(config):
        value_N = faces.column(one.column)
        genuine_in, impostor_in = (
            pairs_K2[one.holds(pair_values(one.column, value_N, pairs_K2))]
            for pairs_K2 in (genuine_K2, impostor_K2)
        )
        chosen = choose(genuine_in, impostor_in, person_N, config.num_pairs, one.name, seed)
        yield one, chosen
    if config.num_lookalikes:
        people = read_table(store.get(layout.ROSTER)).column("index").to_numpy()
        unit_PD = np.load(io.BytesIO(store.get(layout.EMBEDDINGS)), allow_pickle=False)
        genuine, impostor = lookalike_pairs(unit_PD, people, person_N, config, seed)
        chosen = choose(genuine, impostor, person_N, config.num_lookalikes, LOOKALIKES, seed)
        yield Bin(LOOKALIKES, LOOKALIKES, *config.lookalike_cosine), chosen


def _kept_faces(store: Store, plan: Plan) -> KeptFaces:
    rows: list[dict[str, Any]] = []
    units: list[int] = []
    for unit in plan.units:
        own = metadata_rows(store, unit.index)
        rows += own
        units += [unit.index] * len(own)
    return KeptFaces(rows, units)


def _index(sets: dict[str, Chosen], config: PairsConfig, seed: int) -> bytes:
    """pairs/index.json: how many pairs each set has, and by what they were chosen."""
    body = {
        "note": NEVER_TRAIN,
        "seed": seed,
        "bins": {column: list(edges) for column, edges in config.bins.items()},
        "lookalike_cosine": list(config.lookalike_cosine) if config.num_lookalikes else None,
        "num_pairs": {name: len(chosen.same_K) for name, chosen in sets.items()},
    }
    return (json_text(body, indent=1, sort_keys=True) + "\n").encode()


def _lists(faces: KeptFaces, config: PairsConfig, seed: int) -> dict[str, bytes]:
    """Gallery and probes; a probe is mated where its person is in the gallery."""
    gallery, mated, unmated = gallery_and_probes(faces.person_N, config.unmated_fraction, seed)
    is_mated = {**dict.fromkeys(mated.tolist(), 1), **dict.fromkeys(unmated.tolist(), 0)}
    probes = [[*_who(faces, row), mark] for row, mark in sorted(is_mated.items())]
    return {
        layout.pairs_name("gallery", "csv"): _csv(
            ["key", "identity"], [_who(faces, row) for row in gallery.tolist()]
        ),
        layout.pairs_name("probes", "csv"): _csv(["key", "identity", "is_mated"], probes),
    }


def _pairs_csv(faces: KeptFaces, chosen: Chosen) -> bytes:
    head = ["key_1", "identity_1", "key_2", "identity_2", "is_same"]
    pairs = zip(chosen.rows_K2.tolist(), chosen.same_K.tolist(), strict=True)
    return _csv(head, [[*_who(faces, a), *_who(faces, b), int(same)] for (a, b), same in pairs])


def _bin(store: Store, faces: KeptFaces, chosen: Chosen) -> bytes:
    rows = chosen.rows_K2.ravel().tolist()
    images = [read_face(store, faces.units[row], faces.rows[row]) for row in rows]
    return pickle.dumps((images, chosen.same_K.tolist()), protocol=PICKLE)


def _who(faces: KeptFaces, row: int) -> list[Any]:
    return [faces.rows[row]["key"], faces.rows[row]["identity"]]


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
