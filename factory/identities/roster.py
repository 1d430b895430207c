"""Who is in a release: everybody by class label, and what of them may be published."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.errors import IntegrityError
from factory.identities.people import WITHDRAWN, People
from factory.identities.private_people import NOBODY, PrivatePeople
from factory.records import Identity, row_of
from factory.store.parquet import read_table, table_to_parquet

NOT_OPENED = (
    "roster.parquet: what is private of its real people was not opened; open it with the config of "
    "the release"
)
DIGITS = 6
"""Digits of an index in a key, at least."""


@dataclass(frozen=True)
class Roster:
    """Who exists: identities in order of their class label, and their unit vectors [N, D].

    Indices follow each other from `first_identity` on; `row` and `person` look them up. Identities
    are held in columns, whatever sequence of them is given.
    """

    identities: Sequence[Identity]
    unit_ND: np.ndarray
    """float32; of a large roster that was opened, mapped from its file. Real people come last where
    `private` tells of them, and are missing where it was not opened. A union has them anywhere, and
    zeros in their place."""
    private: PrivatePeople | None = None
    """What may not be published of the real people; None where there are none, and of rosters that
    an older factory published whole."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", People.of(self.identities))

    @property
    def people(self) -> People:
        """The identities as columns."""
        assert isinstance(self.identities, People)
        return self.identities

    @property
    def virtual_N(self) -> np.ndarray:
        """Who is virtual: bool [N]."""
        return self.people.where("kind", "virtual")

    @property
    def first_identity(self) -> int:
        """Index of the first row: 0, or one past the last identity of what is extended."""
        return int(self.column("index")[0]) if len(self.identities) else 0

    @property
    def key_digits(self) -> int:
        """Digits of every index in a key, so that keys sort as the identities do."""
        last = self.first_identity + len(self.identities) - 1
        return max(DIGITS, len(str(last)))

    @property
    def num_public(self) -> int:
        """People whose vectors may be published: all but the real ones."""
        return len(self.identities) - int(self.real_N.sum())

    @property
    def real_N(self) -> np.ndarray:
        """Who is real, or was and withdrew: bool [N]."""
        gone = self.people.where("kind", WITHDRAWN)  # who keep a place, and were real
        return np.asarray(self.people.where("kind", "real") | gone)

    @property
    def real_people(self) -> People:
        """Those whom `private` tells of, in its order."""
        return self.people.take(np.flatnonzero(self.real_N))

    @property
    def unit_virtual_VD(self) -> np.ndarray:
        """Vectors of the virtual people [V, D]; no copy of them where they come first."""
        return self._vectors_of(self.virtual_N)

    def _vectors_of(self, some_N: np.ndarray) -> np.ndarray:
        count = int(some_N.sum())
        comes_first = bool(some_N[:count].all())
        return self.unit_ND[:count] if comes_first else self.unit_ND[np.flatnonzero(some_N)]

    def column(self, name: str) -> np.ndarray:
        """A number of everybody by the name of Identity's field: [N]."""
        return self.people.column(name)

    def row(self, index: int) -> int:
        """Row in `unit_ND` of an identity; raises IntegrityError for one who is not in it."""
        row = row_of(index, self.first_identity, len(self.identities))
        if row >= len(self.unit_ND):
            raise IntegrityError(NOT_OPENED)
        return row

    def person(self, index: int) -> Identity:
        """An identity by its index; raises IntegrityError for one who is not in it."""
        return self.identities[row_of(index, self.first_identity, len(self.identities))]

    def parquet(self) -> bytes:
        return table_to_parquet(self.people.table())

    def label_of(self, names: Sequence[str]) -> dict[int, int]:
        """Labels in a source with these `names` of all who come from there, by identity."""
        if self._whole_private is not None:
            labels = self._of_real_people(self._whole_private.labels)
            return {index: label for index, label in labels.items() if label != NOBODY}
        label_of = {name: label for label, name in enumerate(names)}
        unknown = [one.name for one in self.identities if one.name and one.name not in label_of]
        if unknown:
            raise IntegrityError(
                f"source.path: has nobody who is called {unknown[0]!r} ({len(unknown)} people of "
                "the release); measure the versions that it is made of, each with its own config"
            )
        return {person.index: label_of[person.name] for person in self.identities if person.name}

    def prototype_of(self, real_names: Sequence[str]) -> dict[int, int]:
        """Rows among a recognizer's real prototypes of all who have one, by identity."""
        if self._whole_private is not None:
            rows = self._of_real_people(self._whole_private.prototypes)
            return {index: row for index, row in rows.items() if row != NOBODY}
        row = {name: i for i, name in enumerate(real_names)}
        return {one.index: row[one.name] for one in self.identities if one.name in row}

    @property
    def units_of_loras(self) -> dict[int, int]:
        """Units of the real people's LoRAs, by identity."""
        private = self._whole_private
        return self._of_real_people(private.loras) if private else {}

    def source_keys(self) -> dict[str, str]:
        """Keys in the source of edited images, by what the roster calls these."""
        return {called: key for one in self.identities for called, key in self.keys_of(one).items()}

    def keys_of(self, person: Identity) -> dict[str, str]:
        """Those of one person."""
        private = self._whole_private if person.originals and person.kind != "virtual" else None
        if private is None:
            return {key: key for key in person.originals}
        row = person.index - self.first_identity - self.num_public
        return dict(zip(person.originals, private.originals[row], strict=True))

    def _of_real_people(self, values: Sequence[int]) -> dict[int, int]:
        indices = self.real_people.column("index").tolist()
        return dict(zip(indices, values, strict=True))

    @property
    def _whole_private(self) -> PrivatePeople | None:
        """`private`; raises IntegrityError where it exists and was not opened."""
        if self.private is None and len(self.unit_ND) < len(self.identities):
            raise IntegrityError(NOT_OPENED)
        return self.private

    def embeddings(self) -> bytes:
        """Vectors that may be published, as a .npy."""
        return npy_bytes(self._vectors_of(~self.real_N))

    def published_rows(self) -> np.ndarray:
        """A vector of everybody that may be published: zeros in the place of real people."""
        unit_ND = np.zeros((len(self.identities), self.unit_ND.shape[1]), np.float32)
        unit_ND[~self.real_N] = self._vectors_of(~self.real_N)
        return unit_ND

    @classmethod
    def read(cls, parquet: bytes, embeddings: bytes | Path) -> Roster:
        """A roster from the bytes of its table and of its vectors, or a file of these.

        A file is mapped: its pages are read when they are needed, and shared by all processes of
        this machine. What is written to them stays in this process. `with_private` adds the real
        people's vectors.
        """
        if isinstance(embeddings, Path):
            unit_ND = np.load(embeddings, mmap_mode="c", allow_pickle=False)
        else:
            unit_ND = np.load(io.BytesIO(embeddings), allow_pickle=False)
        return cls(People.from_table(read_table(parquet)), unit_ND)

    def with_private(self, private: PrivatePeople) -> Roster:
        """The whole roster, in memory; this one holds vectors of the others alone."""
        assert len(self.unit_ND) == self.num_public == len(self.identities) - len(private)
        assert self.real_N[self.num_public :].all(), "real people come last"
        return Roster(self.identities, np.concatenate([self.unit_ND, private.unit_RD]), private)


def npy_bytes(unit_ND: np.ndarray) -> bytes:
    """An array as a float32 .npy, with no copy of it but this one."""
    rows_ND = np.ascontiguousarray(unit_ND, np.float32)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(rows_ND))
    return b"".join([header.getvalue(), rows_ND.data])
