"""One unit to its files: tar, metadata, rejects, then the commit record, each created once.

Nothing has a final name before it is whole, and nothing counts before the commit record is there
(PROTOCOL, invariants 1-3). Tar headers carry fixed times and owners.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from factory.errors import Conflict, IntegrityError
from factory.records import (
    Counts,
    Face,
    Failure,
    FileRecord,
    Identity,
    Rendered,
    Scores,
    Shard,
    Shot,
    Timings,
    UnitResult,
    person_of,
)
from factory.shards import layout, locks
from factory.shards.marks import PNG_KEYWORD, Mark
from factory.shards.masks import mask_files
from factory.shards.tracebacks import portable
from factory.shards.vectors import vectors_file
from factory.shots.request import PlanRequest
from factory.store import Store
from factory.store.json_text import json_text
from factory.store.parquet import to_parquet

BLOCK = tarfile.BLOCKSIZE
SAMPLE_FIELDS = ("identity", "kind", "image", "attempt", "seed", "guidance")
"""Fields of a sample's .json."""
OCCLUDED = "occluded"
EDIT_FIELDS = ("original", "edit", OCCLUDED)
"""Further ones of an edited image."""
SUFFIXES = {"jpeg": ".jpg", "png": ".png"}


class Clock:
    """When a unit was begun, and how long its maker has been at it."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self._started = time.perf_counter()

    def elapsed_s(self) -> float:
        return time.perf_counter() - self._started


@dataclass(frozen=True)
class Encoding:
    """How images become bytes, and the mark that says what they are."""

    image_format: str
    jpeg_quality: int
    mark: Mark = Mark()  # noqa: RUF009
    masks: tuple[str, ...] = ()
    """Of rendered images: rendering.masks."""

    @classmethod
    def of(cls, request: PlanRequest) -> Encoding:
        """The encoding that a plan asks for."""
        shards = request.shards
        masks = request.rendering.rendering.masks if request.rendering else ()
        return cls(shards.image_format, shards.jpeg_quality, Mark.of(request), masks)

    def face(
        self, shot: Shot, image_HWC: np.ndarray, scores: Scores, rendered: Rendered | None = None
    ) -> Face:
        """A face with its image, and its masks where it is `rendered`."""
        encoded = self.encode(image_HWC, shot.prompt)
        if rendered is None:
            return Face(shot, encoded, scores)
        masks = mask_files(rendered.labels_HW, self.masks)
        return Face(shot, encoded, scores, rendered.truth, masks)

    def encode(self, image_HWC: np.ndarray, prompt: str = "") -> bytes:
        """An RGB uint8 image, a JPEG in full chroma resolution, marked as what it is.

        `prompt` is that of its shot, if any.
        """
        from PIL import Image, PngImagePlugin

        xmp, buffer = self.mark.with_prompt(prompt).packet(), io.BytesIO()
        image = Image.fromarray(image_HWC)
        if self.image_format == "jpeg":
            quality = self.jpeg_quality
            image.save(buffer, "JPEG", quality=quality, subsampling=0, xmp=xmp.encode())
        else:
            info = PngImagePlugin.PngInfo()
            info.add_itxt(PNG_KEYWORD, xmp)
            image.save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()


def suffix_of(encoded: bytes) -> str:
    """File suffix of an encoded image, by its first byte."""
    return SUFFIXES["jpeg" if encoded[:1] == b"\xff" else "png"]


def pack(faces: list[Face], identities: Sequence[Identity]) -> tuple[bytes, list[dict[str, Any]]]:
    """(tar of the faces in the given order, their metadata rows).

    Every sample has the members .jpg (or .png), .cls and .json, then its masks; a row holds offset
    and size of the image.
    """
    buffer = io.BytesIO()
    rows = []
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for face in faces:
            row = _row(face) | {
                "kind": person_of(identities, face.shot.identity).kind,
                "sha256": hashlib.sha256(face.encoded).hexdigest(),
                "offset": tar.offset + BLOCK,
                "size": len(face.encoded),
            }
            rows.append(row)
            sample = {k: row[k] for k in _sample_fields(face)}
            add_member(tar, face.shot.key + suffix_of(face.encoded), face.encoded)
            add_member(tar, face.shot.key + ".cls", str(face.shot.identity).encode())
            add_member(tar, face.shot.key + ".json", json_text(sample, sort_keys=True).encode())
            for suffix, mask in face.masks.items():
                add_member(tar, face.shot.key + suffix, mask)
    return buffer.getvalue(), rows


def commit(
    store: Store, result: UnitResult, identities: Sequence[Identity], *, same_bytes: bool = True
) -> Shard:
    """Write a unit's faces, then its commit record; returns the record that is in the store.

    `identities` is the whole roster. Vectors are written where nobody in the unit is a real person
    (vectors.py). Raises as `commit_files` does.
    """
    unit, counts = result.unit, result.counts
    if not counts.adds_up() or counts.kept != len(result.kept):
        raise IntegrityError(f"unit {unit}: {counts} does not add up to the shots that were made")
    data, rows = pack(result.kept, identities)
    reject_rows = [_row(face) | {"reason": reason} for face, reason in result.rejected]
    contents = {
        layout.tar_name(unit): data,
        layout.metadata_name(unit): to_parquet(rows, layout.metadata_schema(result.tells_truth)),
        layout.rejects_name(unit): to_parquet(reject_rows, layout.REJECTS_SCHEMA),
    }
    if vectors := vectors_file(result, identities):
        contents[layout.vectors_name(unit)] = vectors
    return commit_files(store, result, contents, same_bytes=same_bytes)


def commit_files(
    store: Store, result: UnitResult, contents: dict[str, bytes], *, same_bytes: bool = True
) -> Shard:
    """Write the files of a unit, then its commit record; returns the record that is in the store.

    Files without a commit record belong to nobody: they are replaced under a lock. Losing the race
    against another maker of the same unit is fine when the digests agree, and noted as a proof of
    determinism. Other digests raise IntegrityError where the same plan must give the `same_bytes`
    (on CPUs), and are noted where it need not. Raises Unavailable while somebody else holds the
    unit and does not let go of it.
    """
    unit = result.unit
    files = [
        FileRecord(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    if not locks.is_record(store.size(layout.commit_name(unit))):
        _write_quarantine(store, unit, result.failures)
    begun, retries = time.perf_counter(), store.num_retries

    def record() -> Shard:
        """The commit record, with what it took until now."""
        upload_s = round(time.perf_counter() - begun, 6)
        again = store.num_retries - retries
        timings = replace(result.timings, upload_s=upload_s, retries=again)
        return Shard(
            unit, result.plan_hash, files, result.counts, timings, result.attempt, result.remarks
        )

    try:
        for file, content in zip(files, contents.values(), strict=True):
            store.put_once(file.name, content, file.sha256)
        shard, committed = record(), None
        store.put_once(layout.commit_name(unit), record_bytes(shard))
    except Conflict:  # files of other bytes are there, or a lock, or a commit record
        shard, committed = _commit_under_lock(store, unit, contents, record)
    if committed is None:
        _look_again(store, contents)
        if result.failures and store.size(layout.quarantine_name(unit)) is None:
            _write_quarantine(store, unit, result.failures)
        return shard
    if committed.files == files:
        store.put(layout.proof_name(unit, uuid.uuid4().hex[:8]), record_bytes(shard))
        _look_again(store, contents)
    elif same_bytes:
        raise IntegrityError(
            f"unit {unit}: committed by another maker with other digests; the same plan gave other "
            "bytes: a machine is not deterministic, or the release was altered; nothing may go on"
        )
    else:
        store.put(layout.difference_name(unit, uuid.uuid4().hex[:8]), record_bytes(shard))
    return committed


def _commit_under_lock(
    store: Store, unit: int, contents: dict[str, bytes], record: Callable[[], Shard]
) -> tuple[Shard, Shard | None]:
    """Replace the files of a unit and commit it.

    Returns the own record, and that of the winner where another maker has committed the unit.
    """
    while lock := locks.take(store, unit, "replacing its files"):
        with suppress(locks.LockLost), lock.renewed():
            for name, content in contents.items():
                lock.write(name, content)
            shard = record()
            if lock.commit(record_bytes(shard)):
                return shard, None
    return record(), read_commit(store, unit)


def _look_again(store: Store, contents: dict[str, bytes]) -> None:
    """Write the files of a unit that is committed again where they are gone or have another size.

    None is by what this program does; this is for those who delete or write without its locks.
    """
    for name, content in contents.items():
        if store.size(name) != len(content):
            store.swap(name, locks.content_of(store, name), content)


def _write_quarantine(store: Store, unit: int, failures: list[Failure]) -> None:
    """The failures of the maker that is about to commit; a dead one's are removed."""
    if failures:
        lines = [json_text(asdict(portable(failure))) for failure in failures]
        store.put(layout.quarantine_name(unit), ("\n".join(lines) + "\n").encode())
    elif store.exists(layout.quarantine_name(unit)):
        store.delete(layout.quarantine_name(unit))


def read_commit(store: Store, unit: int) -> Shard:
    """The commit record of a unit; raises FileNotFoundError where there is none, or a lock."""
    data = store.get(layout.commit_name(unit))
    if not locks.is_record(len(data)):
        raise FileNotFoundError(f"{store.url}/{layout.commit_name(unit)}: is not committed")
    return shard_from_dict(json.loads(data))


def shard_from_dict(body: dict[str, Any]) -> Shard:
    """A Shard from its JSON form."""
    return Shard(
        unit=body["unit"],
        plan_hash=body["plan_hash"],
        files=[FileRecord(**file) for file in body["files"]],
        counts=Counts(**body["counts"]),
        timings=Timings(**body["timings"]),
        attempt=body["attempt"],
        remarks=body["remarks"],
    )


def record_bytes(shard: Shard) -> bytes:
    """A commit record as it is stored."""
    return (json_text(shard.to_dict(), indent=1, sort_keys=True) + "\n").encode()


def _row(face: Face) -> dict[str, Any]:
    row = asdict(face.shot) | asdict(face.scores)
    return row | asdict(face.truth) if face.truth else row


def _sample_fields(face: Face) -> tuple[str, ...]:
    """Fields of a sample's .json."""
    if face.truth:
        return (*SAMPLE_FIELDS, OCCLUDED, *layout.TRUTH_FIELDS)
    if face.shot.edit:
        return SAMPLE_FIELDS + EDIT_FIELDS
    return SAMPLE_FIELDS + (("original",) if face.shot.original else ())


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file without time or owner, so that the same files are the same tar."""
    member = tarfile.TarInfo(name)  # mtime 0, uid and gid 0, no names
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))
