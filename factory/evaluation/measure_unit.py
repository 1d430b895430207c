"""UnitMeasurer: one unit of a sealed release to its record; runs where makers run.

Vectors that the maker has kept are read; the others are computed from the images, which are decoded
in batches, once for all networks. Further networks see the sampled faces alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from factory.config import Config, StoreConfig
from factory.errors import Conflict, IntegrityError
from factory.evaluation.consistency import class_figures
from factory.evaluation.duplicates import has_twin, max_distance, packed
from factory.evaluation.edit_metrics import edits_of_unit
from factory.evaluation.embeddings import MAX_PIXELS, Space, check_vectors, one_ahead
from factory.evaluation.features import open_networks, open_quality
from factory.evaluation.leakage import UnitAudit, compare_unit
from factory.evaluation.perceptual_hash import MIN_DUPLICATE_COSINE, PerceptualHash
from factory.evaluation.real_people import NOBODY, RealPeople
from factory.evaluation.recognizers import JUDGE, open_recognizers
from factory.evaluation.release_metadata import first_rejects, unit_scores
from factory.evaluation.tallies import Moments, hash_of
from factory.evaluation.unit_record import UnitFaces, UnitRecord, UnitSpace
from factory.execution.retries import Heartbeat, RetryState, unwatched
from factory.execution.unit_jobs import done
from factory.records import Shard
from factory.shards import layout
from factory.shards.reader import metadata_rows, open_sealed
from factory.shards.vectors import read_vectors
from factory.shards.writer import read_commit
from factory.sources.decoding import decode_image
from factory.store import Store, open_store
from factory.training.distributed import device_here

BATCH = 256
HASH = "hash"
PEOPLE, ORIGINALS = "reference/people.npz", "reference/originals.npz"
"""Real people in the judge's space and their hashes, beside the records."""


def record_name(unit: int) -> str:
    return f"{unit:06d}.safetensors"


@dataclass(frozen=True)
class Sampling:
    """Which faces are sampled: decided by identity and key alone, so by nobody's order."""

    first_identity: int
    """Of the roster."""
    pair_stride: int
    """Every so many identities are compared by pairs."""
    photo_stride: int
    """Every so many people of the source are compared with photographs."""
    hash_limit: int
    """Keys with a lower hash are in the sample for set metrics."""


@dataclass(frozen=True)
class MeasureTask:
    """What is measured of each unit; all that a process needs to begin."""

    config: Config
    release: StoreConfig
    scratch: StoreConfig
    """Where records are put."""
    sampling: Sampling
    own_label: dict[int, int] = field(default_factory=dict)
    """Label in the source of each identity that comes from there."""
    audit_alone: bool = False
    """Nothing but the audit is measured."""
    anew: bool = False
    """Every vector is computed from the images, whatever makers have kept."""

    @property
    def has_judge(self) -> bool:
        return self.config.judge.checkpoint is not None


class UnitImages:
    """The kept faces of a unit, decoded when they are wanted from a tar that has its digest."""

    def __init__(self, store: Store, shard: Shard, rows: Sequence[dict[str, Any]]) -> None:
        self._store, self._shard, self._rows = store, shard, rows

    @cached_property
    def _data(self) -> bytes:
        name = layout.tar_name(self._shard.unit)
        tar = next(file for file in self._shard.files if file.name == name)
        data = self._store.get(name)
        if hashlib.sha256(data).hexdigest() != tar.sha256:
            raise IntegrityError(f"{self._store.url}/{name}: does not have its sha256; restore it")
        return data

    def decode(self, indices: Sequence[int]) -> np.ndarray:
        """RGB uint8 [n, H, W, 3] of some rows."""
        return np.stack([self._decode(self._rows[index]) for index in indices])

    def _decode(self, row: dict[str, Any]) -> np.ndarray:
        data = self._data[row["offset"] : row["offset"] + row["size"]]
        return decode_image(data, row["key"], MAX_PIXELS)


def embed_unit(
    images: UnitImages,
    count: int,
    spaces: Mapping[str, Space],
    known: Mapping[str, np.ndarray],
    sampled: Mapping[str, Space],
    sample_S: np.ndarray,
    heartbeat: Heartbeat = unwatched,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Vectors [count, D] in each of `spaces` but those `known`, and [S, F] in those `sampled`.

    The next batch is decoded while one is embedded. Raises IntegrityError for vectors that are
    none.
    """
    missing = {name: space for name, space in spaces.items() if name not in known}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in [*missing, *sampled]}
    wanted_N = np.arange(count) if missing else sample_S if sampled else np.zeros(0, int)
    batches = (wanted_N[start : start + BATCH] for start in range(0, len(wanted_N), BATCH))
    decoded = one_ahead((rows_B, images.decode(rows_B.tolist())) for rows_B in batches)
    for wanted, images_BHWC in decoded:
        heartbeat(())
        chosen = sample_S[np.isin(sample_S, wanted)] if sampled else sample_S[:0]
        for name, space in missing.items():
            parts[name].append(space.embed(images_BHWC).astype(np.float32))
        if len(chosen):
            some_BHWC = images_BHWC[np.searchsorted(wanted, chosen)]
            for name, space in sampled.items():
                parts[name].append(space.embed(some_BHWC).astype(np.float32))
    computed = {name: np.concatenate(some) for name, some in parts.items() if some}
    for name, vectors in computed.items():
        space = missing[name] if name in missing else sampled[name]
        check_vectors(vectors, count if name in missing else len(sample_S), space)
    of_all = {**known, **{name: computed[name] for name in missing}}
    return of_all, {name: computed[name] for name in sampled if name in computed}


class UnitMeasurer:
    """Measures units; stands in the place of a maker, so any runner runs it."""

    def __init__(
        self,
        task: MeasureTask,
        recognizers: Mapping[str, Space],
        networks: Mapping[str, Space],
        people: RealPeople | None = None,
        originals: RealPeople | None = None,
    ) -> None:
        """`people` in the judge's space and `originals` as hashes: with them units are audited."""
        self._task, self._recognizers, self._networks = task, dict(recognizers), dict(networks)
        self._people, self._originals = people, originals
        self._release = open_sealed(open_store(task.release))
        self._scratch = open_store(task.scratch)

    @classmethod
    def open(cls, task: MeasureTask) -> UnitMeasurer:
        """Load the networks that the config names, and the real people beside the records."""
        device, scratch = device_here(task.config.compute), open_store(task.scratch)
        recognizers = open_recognizers(task.config, device, judge_alone=task.audit_alone)
        networks: dict[str, Space] = {}
        if not task.audit_alone:
            features = task.config.features
            networks = open_networks(features, device) | open_quality(features, device)
        real: tuple[RealPeople, ...] = ()
        if task.has_judge:
            real = tuple(RealPeople.load(scratch, name) for name in (PEOPLE, ORIGINALS))
        return cls(task, recognizers, networks, *real)

    def make(
        self, unit_index: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Measure a unit and write its record; the shard, as a runner's sign that it is done."""
        record = self.measure(read_commit(self._release, unit_index), heartbeat)
        with suppress(Conflict):  # another process was first, and a GPU need not round alike
            self._scratch.put_once(record_name(unit_index), record.to_bytes())
        return [done(unit_index, retry)]

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Nothing is on its way."""
        return []

    def close(self) -> None:
        """Nothing is held open."""

    def measure(self, shard: Shard, heartbeat: Heartbeat = unwatched) -> UnitRecord:
        """All that is measured of a unit."""
        whole, num_rejects = not self._task.audit_alone, self._task.config.audit.num_rejects
        rows = metadata_rows(self._release, shard.unit)
        keys = [str(row["key"]) for row in rows]
        rejects = first_rejects(self._release, shard.unit, num_rejects) if whole else []
        if not rows:
            return UnitRecord(shard.unit, keys, rejects)
        identity_N = np.array([row["identity"] for row in rows])
        sample_S, pair_P, photo_Q = self._sampled(keys, identity_N)
        images = UnitImages(self._release, shard, rows)
        spaces = {**self._recognizers, HASH: PerceptualHash()}
        vectors, features_SF = embed_unit(
            images,
            len(rows),
            spaces,
            self._known(shard, spaces),
            self._networks,
            sample_S,
            heartbeat,
        )
        faces = _faces(identity_N, vectors[HASH], sample_S, pair_P, photo_Q)
        measured = {
            name: UnitSpace(
                class_figures(vectors[name], faces.class_N),
                Moments.of(vectors[name]),
                *(vectors[name][chosen] for chosen in (sample_S, pair_P, photo_Q)),
            )
            for name in self._recognizers
        }
        edits, shown = edits_of_unit(rows) if whole else ({}, {})
        heartbeat(())
        return UnitRecord(
            shard.unit,
            keys,
            rejects,
            edits,
            shown,
            faces,
            unit_scores(rows, faces) if whole else None,
            measured if whole else {},
            features_SF,
            self._audit(faces, vectors, measured),
        )

    def _sampled(
        self, keys: list[str], identity_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the faces that are sampled for set metrics, for pairs, and with photographs."""
        sampling, own = self._task.sampling, self._task.own_label
        chosen_N = np.array([hash_of(key) < sampling.hash_limit for key in keys])
        pair_N = (identity_N - sampling.first_identity) % sampling.pair_stride == 0
        label_N = np.array([own.get(identity, NOBODY) for identity in identity_N.tolist()])
        photo_N = (label_N != NOBODY) & (label_N % sampling.photo_stride == 0)
        sample_S, pair_P, photo_Q = map(np.flatnonzero, (chosen_N, pair_N, photo_N))
        return sample_S, pair_P, photo_Q

    def _known(self, shard: Shard, spaces: Mapping[str, Space]) -> dict[str, np.ndarray]:
        """What the maker has kept in these spaces, of unit length, as float16 only nearly has."""
        if self._task.anew:
            return {}
        kept, known = read_vectors(self._release, shard), {}
        for name, space in spaces.items():
            if space.sha256 in kept:
                vectors_ND = kept[space.sha256]
                check_vectors(vectors_ND, shard.counts.kept, space)
                known[name] = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
        return known

    def _audit(
        self,
        faces: UnitFaces,
        vectors: Mapping[str, np.ndarray],
        measured: Mapping[str, UnitSpace],
    ) -> UnitAudit | None:
        if self._people is None or self._originals is None:
            return None
        own = self._task.own_label
        own_K = np.array([own.get(identity, NOBODY) for identity in faces.identity_K.tolist()])
        return compare_unit(
            self._people,
            self._originals,
            vectors[JUDGE],
            vectors[HASH],
            measured[JUDGE].figures.center_KD,
            own_K[faces.class_N],
            own_K,
        )


def _faces(
    identity_N: np.ndarray,
    hash_NB: np.ndarray,
    sample_S: np.ndarray,
    pair_P: np.ndarray,
    photo_Q: np.ndarray,
) -> UnitFaces:
    found, first, sorted_N = np.unique(identity_N, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # identities in the order of their first faces
    class_N = np.argsort(order, kind="stable")[sorted_N]
    hash_N32 = packed(hash_NB)
    twin_N = has_twin(hash_N32, class_N, max_distance(MIN_DUPLICATE_COSINE))
    return UnitFaces(identity_N, class_N, found[order], sample_S, pair_P, photo_Q, hash_N32, twin_N)
