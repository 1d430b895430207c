"""From records of units to figures of a release, in memory that does not grow with its faces.

Records come in the order of units. Sums, tallies and the largest values are kept, vectors of
sampled faces, a few numbers an identity; hashes and centers go to files of a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from factory.evaluation.consistency import ConsistencyTally
from factory.evaluation.duplicates import has_stranger, max_distance
from factory.evaluation.edit_metrics import EditTally
from factory.evaluation.fidelity import MAX_FEATURES
from factory.evaluation.leakage import LeakageTally
from factory.evaluation.metrics.similarity import Consistency, Duplicates
from factory.evaluation.perceptual_hash import MIN_DUPLICATE_COSINE
from factory.evaluation.release_metadata import ScoreTally
from factory.evaluation.rows_on_disk import RowsOnDisk
from factory.evaluation.tallies import Moments, Sample
from factory.evaluation.unit_record import UnitFaces, UnitRecord, UnitSpace
from factory.records import Shot

CLASS = "class"
"""Name in a sample of the numbers of identities, in the order of units."""


class SpaceTally:
    """All units in the space of one recognizer; the folder is for the centers' file."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._classes = ConsistencyTally(folder, dim)
        self.moments = Moments.none(dim)
        self._pairs: list[np.ndarray] = []
        self._photos: list[np.ndarray] = []

    def add(self, space: UnitSpace) -> None:
        self._classes.add(space.figures)
        self.moments = self.moments.plus(space.moments)
        self._pairs.append(space.pair_PD)
        self._photos.append(space.photo_QD)

    def pairs(self) -> np.ndarray:
        """Vectors of the faces whose pairs are compared, [P, D]."""
        return np.concatenate(self._pairs)

    def photos(self) -> np.ndarray:
        """Vectors of the faces that are compared with photographs, [Q, D]."""
        return np.concatenate(self._photos)

    def consistency(self, unit_SD: np.ndarray, class_S: np.ndarray) -> Consistency:
        return self._classes.finish(unit_SD, class_S)


class Reduction:
    """Figures of a release from the records of its units."""

    def __init__(
        self,
        folder: Path,
        num_rejects: int,
        leakage: LeakageTally | None = None,
        own_label: Mapping[int, int] | None = None,
    ) -> None:
        """`folder` holds files meanwhile: 40 bytes a face, 4*D an identity and recognizer.

        `own_label` is the label in the source of each identity that comes from there.
        """
        self._own_label, self._source_people = own_label or {}, set[int]()
        self._folder, self._num_rejects, self.leakage = folder, num_rejects, leakage
        self.spaces: dict[str, SpaceTally] = {}
        self.scores, self.edits = ScoreTally(), EditTally()
        self.rejects: dict[str, list[Shot]] = {}
        self._sample = Sample(MAX_FEATURES)
        self._pair_labels: list[np.ndarray] = []
        self._photo_labels: list[np.ndarray] = []
        self._hashes = RowsOnDisk(folder, 32, np.uint8)
        self._labels = RowsOnDisk(folder, 1, np.int64)
        self._num_twins = RowsOnDisk(folder, 1, np.bool_)
        self._num_classes = 0

    def add_all(self, records: Iterable[UnitRecord]) -> Reduction:
        """The records of all units, in their order."""
        for record in records:
            self.add(record)
        return self

    def add(self, record: UnitRecord) -> None:
        for reason, shot in record.rejected_shots():
            some = self.rejects.setdefault(reason, [])
            some += [shot] if len(some) < self._num_rejects else []
        self.edits.add(record.unit, record.edits, record.shown_edits)
        faces = record.faces
        if faces is None:
            return
        own = (self._own_label.get(identity) for identity in faces.identity_K.tolist())
        self._source_people.update(label for label in own if label is not None)
        if self.leakage and record.audit:
            self.leakage.add(record.unit, record.keys, faces.identity_K, record.audit)
        if record.scores:
            self.scores.add(faces.identity_K, record.scores)
        for name, space in record.spaces.items():
            if name not in self.spaces:
                dim = space.figures.center_KD.shape[1]
                self.spaces[name] = SpaceTally(self._folder, dim)
            self.spaces[name].add(space)
        self._add_samples(record, faces)
        self._hashes.append(faces.hash_N32)
        self._labels.append(faces.identity_N[:, None])
        self._num_twins.append(faces.twin_N[:, None])
        self._num_classes += len(faces.identity_K)

    def sample(self) -> dict[str, np.ndarray]:
        """Vectors of the sampled faces by space and network, and their CLASS."""
        return self._sample.stacked()

    @property
    def num_source_people(self) -> int:
        """People of the source of whom images were kept."""
        return len(self._source_people)

    def pair_labels(self) -> np.ndarray:
        """Identities of the faces whose pairs are compared, [P]."""
        return np.concatenate(self._pair_labels)

    def photo_labels(self) -> np.ndarray:
        """Identities of the faces that are compared with photographs, [Q]."""
        return np.concatenate(self._photo_labels)

    def duplicates(self) -> Duplicates:
        """Fractions of faces whose pixel hash is that of another face, in an identity or across."""
        files = (self._hashes, self._labels, self._num_twins)
        hash_N32, labels, twins = (file.finish() for file in files)
        across_N = has_stranger(
            hash_N32,
            labels[:, 0],
            max_distance(MIN_DUPLICATE_COSINE),
            self._folder / "found.npy",
        )
        return Duplicates(
            min_cosine=MIN_DUPLICATE_COSINE,
            within_identity=float((twins[:, 0] & ~across_N).mean()),
            across_identities=float(across_N.mean()),
        )

    def _add_samples(self, record: UnitRecord, faces: UnitFaces) -> None:
        self._pair_labels.append(faces.identity_N[faces.pair_P])
        self._photo_labels.append(faces.identity_N[faces.photo_Q])
        vectors = {name: space.sample_SD for name, space in record.spaces.items()}
        vectors |= record.features_SF
        for number, row in enumerate(faces.sample_S.tolist()):
            one = {name: some[number].copy() for name, some in vectors.items()}  # not all of it
            one[CLASS] = np.array(self._num_classes + faces.class_N[row])
            self._sample.add(record.keys[row], (record.unit, row), one)
