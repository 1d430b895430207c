"""Make one published image again from its metadata row, and compare (PROTOCOL, invariant 7)."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from factory.config import Config
from factory.errors import PlanError
from factory.provenance.withdrawn import withdrawal_of
from factory.records import Shot
from factory.shards import layout
from factory.shards.derived import made_of
from factory.shards.reader import metadata_rows, open_sealed, read_face
from factory.shards.withdrawal_successor import WITHDRAWAL
from factory.shards.writer import Encoding, read_commit
from factory.shots.plan import Derived, Plan
from factory.store import Store
from factory.synthesis.loading import load_release
from factory.synthesis.maker import ShardMaker


@dataclass(frozen=True)
class Reproduced:
    """One image, made again."""

    shot: Shot
    encoded: bytes
    published: bytes
    sha256_recorded: str
    """What the metadata row says of the published image."""
    largest_difference: int
    """Largest difference of a decoded value, 0-255; 0 where the files are equal."""
    machine_differs: str | None
    """In what this machine is not the plan's: software, device or canary; then bytes may differ."""
    remarks: list[str]
    """What the commit record remarks on the making, for instance batches drawn in parts."""

    @property
    def as_recorded(self) -> bool:
        """Whether the published image is the one its metadata row was written for."""
        return hashlib.sha256(self.published).hexdigest() == self.sha256_recorded

    @property
    def equal(self) -> bool:
        return self.as_recorded and self.encoded == self.published


def reproduce(config: Config, store: Store, key: str) -> Reproduced:
    """Draw the kept face `key` of the release in `store`, in its planned slot of a full batch.

    The canary is drawn first, because it tells another machine from an altered release. Of a
    release that was made of others, the one that drew it is looked up by its plan, and the image
    is the one that lies in `store`. Raises
    PlanError for a key that was not kept, IntegrityError when the weights are others.
    """
    if not store.exists(layout.PLAN):
        raise PlanError(
            f"release.version: {store.url} has no plan.json; nothing was released there"
        )
    plan, drawn = Plan.from_json(store.get(layout.PLAN)), _drawn_in(store, key)
    loaded, store = load_release(config, drawn), open_sealed(store)
    unit, row = _row(store, plan, key)
    shot = Shot(**{field.name: row[field.name] for field in fields(Shot) if field.name in row})
    maker = ShardMaker.at(loaded, drawn, max_queued_bytes=0)  # nothing will be committed
    machine_differs = loaded.difference or maker.canary_difference()
    maker.close()
    encoded = Encoding.of(plan.request).encode(loaded.draw(shot), shot.prompt)
    published = read_face(store, unit, row)
    difference = np.abs(_decoded(encoded) - _decoded(published)).max()
    return Reproduced(
        shot,
        encoded,
        published,
        row["sha256"],
        int(difference),
        machine_differs,
        read_commit(store, unit).remarks,
    )


def _drawn_in(store: Store, key: str) -> Store:
    """The release that says how an image was drawn: this one, or one it was made of.

    Of versions it is the one whose labels hold that of the key. What others withdrew from and is
    otherwise as it was drawn says so itself, because its ancestor may have been deleted from.
    """
    plan = Plan.from_json(store.get(layout.PLAN))
    if plan.derived is None:
        return store
    other = _ancestor_of(store, plan, plan.derived, key)
    drawn = _drawn_in(other, key)
    return store if plan.derived.kind == WITHDRAWAL and drawn is other else drawn


def _ancestor_of(store: Store, plan: Plan, derived: Derived, key: str) -> Store:
    """The ancestor whose labels hold that of a key; its successor where people were deleted."""
    identity = _identity_of(key)
    for ancestor in derived.of:
        other = store.beside(ancestor.version)
        if not other.exists(layout.PLAN):
            raise PlanError(
                f"key: {store.url} is {made_of(derived)}, and {other.url} is gone; restore that "
                "one, for its plan says how its images were drawn"
            )
        its = Plan.from_json(other.get(layout.PLAN))
        if its.first_identity <= identity < its.next_identity:
            return other if derived.kind == WITHDRAWAL else _with_files(other)
    raise _no_such(store, plan, key)


def _with_files(store: Store) -> Store:
    """A version, or the last successor of one that people were deleted from."""
    mark = withdrawal_of(store)
    gone = mark is not None and mark.deleted and mark.successor
    return _with_files(store.beside(gone)) if gone else store


def _identity_of(key: str) -> int:
    """Label in a key, -1 where there is none."""
    digits = key.partition("_")[0]
    return int(digits) if digits.isdecimal() else -1


def _row(store: Store, plan: Plan, key: str) -> tuple[int, dict[str, Any]]:
    identity = _identity_of(key)
    for unit in plan.units:
        if unit.first_identity <= identity < unit.first_identity + unit.num_identities:
            for row in metadata_rows(store, unit.index):
                if row["key"] == key:
                    return unit.index, row
    raise _no_such(store, plan, key)


def _no_such(store: Store, plan: Plan, key: str) -> PlanError:
    return PlanError(
        f"key: {store.url} has no kept face {key!r}; want one of metadata/*.parquet, for instance "
        f"{plan.first_identity:06d}_0000"
    )


def _decoded(encoded: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as image:
        return np.asarray(image.convert("RGB")).astype(np.int16)
