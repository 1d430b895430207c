"""Files outside a store, whole or not at all, and one line for a disk that refuses.

Everything the factory writes to a disk goes through here. A file is written under a hidden name in
its folder, brought to the disk (fsync), and only then gets its name.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from factory.config.addresses import looks_like_a_bucket
from factory.errors import ConfigError, FactoryError, StoreError

FREE, ELSEWHERE = "free some space there, then run again", "choose a folder that can be written"
REMEDIES = {
    errno.ENOSPC: FREE,
    errno.EDQUOT: FREE,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or choose another folder",
    errno.EIO: "the disk fails; check it, or choose another folder",
    errno.ESTALE: "the network folder was lost; mount it again, or choose another",
    errno.EROFS: ELSEWHERE,
    errno.EACCES: ELSEWHERE,
    errno.EPERM: ELSEWHERE,
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EISDIR: "a folder has that name; choose another",
    errno.EEXIST: "a file has the name of the folder; choose another",
    errno.ENAMETOOLONG: "choose a shorter path",
}
"""What to do where a disk refuses, by errno."""

_noted: set[str] = set()


def refusal(error: BaseException) -> int | None:
    """The errno of a disk that refuses, which needs no traceback; None for any other error.

    numpy and safetensors tell it in their messages alone.
    """
    if isinstance(error, FactoryError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        told = re.search(r"\(os error (\d+)\)", str(error))
        cut_off = isinstance(error, OSError) and re.search(r"\d+ requested and \d+ w", str(error))
        number = int(told[1]) if told else errno.ENOSPC if cut_off else None
    return number if number in REMEDIES else None


def disk_error(path: Path | str, number: int | None, key: str = "", remedy: str = "") -> StoreError:
    """One line: the path (and the dotted key that named it), what the system says, what to do."""
    where = f"{key}: {path}" if key else str(path)
    reason = os.strerror(number) if number else "cannot be written"
    return StoreError(f"{where}: {reason}; {remedy or REMEDIES.get(number or 0, ELSEWHERE)}")


@contextmanager
def of_file(path: Path, key: str = "", remedy: str = "") -> Iterator[None]:
    """Turn a disk's refusal of what is done with `path` into a StoreError of one line."""
    try:
        yield
    except Exception as error:
        number = refusal(error)
        if number is None:
            raise
        raise disk_error(path, number, key, remedy) from None


@contextmanager
def writing(path: Path, key: str = "", *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which is named `path` once all is on the disk, and else not at all.

    Its folders are made. Without `durable` a crash of the machine may leave it cut off: for what is
    read back and compared anyway. Raises StoreError; `key` is the dotted key that named the place.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with of_file(path, key):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                sync_folder(path.parent)
        finally:
            with suppress(OSError):  # because the disk may be gone; the error is under way
                temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, key: str = "", *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part.

    Raises StoreError, and leaves the old file, where the disk refuses.
    """
    with writing(path, key, durable=durable) as file:
        file.write(data)


def append_line(path: Path, line: str, key: str = "") -> None:
    """Add a line to a log by one request; raises StoreError.

    A line of which a full disk takes only a part is taken back.
    """
    data = line.encode() + b"\n"
    with of_file(path, key):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise


@contextmanager
def dispensable(key: str) -> Iterator[None]:
    """What is written inside spares work later; where the disk refuses, say so once and go on."""
    try:
        yield
    except StoreError as error:
        if key not in _noted:
            _noted.add(key)
            print(f"note: {key}: not kept for the next time: {error}", file=sys.stderr)


def check_place(key: str, path: Path) -> None:
    """Raise StoreError unless files can be written below the folder `path`; leaves nothing there.

    A folder that is not there yet is tried in the nearest one that is. Raises ConfigError for an
    address of a bucket, which would become a folder called "s3:".
    """
    if any(looks_like_a_bucket(part) for part in path.parts):
        raise ConfigError(f"{key}: got {str(path)!r}; want a local path, no address of a bucket")
    folder = path.absolute()
    with of_file(path, key):
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        trial = folder / f".trial.{uuid.uuid4().hex[:8]}"
        try:
            with trial.open("xb") as file:
                file.write(bytes(TRIAL_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):
                trial.unlink(missing_ok=True)


TRIAL_BYTES = 1 << 16
"""Bytes that are written to see whether a place takes any."""


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where its filesystem can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
