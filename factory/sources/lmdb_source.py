"""The faces of an LMDB, as VFace, HSFace and others publish them: encoded images by key.

Two layouts are read, and nothing is ever unpickled:

- numbered (VFace, HSFace, Vec2Face's WebFace4M; lists of images by HaiyuWu and vitoralbiero):
  `__keys__` is msgpack's list of all keys, `__len__` how many they are and `__classnum__` how many
  people, and each value is msgpack's list [image, class] or [image, feature, class, ...], of which
  the first bytes and the first number count.
- people: keys PERSON/IMAGE, each value an encoded image; keys that begin with an underscore are
  tables of others and are not looked at.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.sources.base import CorruptImageError, SourceFace
from factory.sources.entries import IMAGE_SUFFIXES, stem_of
from factory.sources.left_out import (
    MISSING_IMAGE,
    NO_LABEL,
    UNKNOWN_FORMAT,
    Tally,
    check_little_left_out,
)
from factory.sources.texts import Texts

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

KEYS, LENGTH, CLASSES = b"__keys__", b"__len__", b"__classnum__"
PICKLED = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
"""How a value begins that pickle wrote, but no list of msgpack's."""
DATA = "data.mdb"
LAYOUTS = (
    "want __keys__, __len__ and __classnum__ with values [image, class] by msgpack (as VFace), or "
    "keys PERSON/IMAGE with encoded images"
)


class Environment:
    """An LMDB that is open for reading, once a process however many sources are of it.

    A forked process opens it anew. No lock is taken, so a folder that cannot be written will do;
    nobody may write to it meanwhile.
    """

    _open: WeakValueDictionary[str, Environment] = WeakValueDictionary()
    _one_at_a_time = Lock()

    def __init__(self, path: Path) -> None:
        self._path, self.is_closed = path, False
        self._lmdb = _library("lmdb")
        try:
            self._env = self._lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, create=False, lock=False,
                readahead=False, meminit=False, max_spare_txns=32,
            )  # fmt: skip
        except self._lmdb.Error as error:
            raise SourceError(
                f"source.path: {path} is not an LMDB that can be read ({type(error).__name__}); "
                "want a file .lmdb or a folder with data.mdb"
            ) from None
        file = path / DATA if path.is_dir() else path
        pages = self._env.info()["last_pgno"] + 1
        if pages * self._env.stat()["psize"] > file.stat().st_size:
            raise SourceError(f"source.path: {path} is cut off; copy it again")

    @classmethod
    def of(cls, path: Path) -> Environment:
        """The environment of a path that this process has open, or a new one."""
        name = os.path.realpath(path)
        with cls._one_at_a_time:
            found = cls._open.get(name)
            if found is None:
                found = cls._open[name] = cls(path)
        return found

    @classmethod
    def forget_after_fork(cls) -> None:
        """Close what the parent had open, as LMDB demands of a child."""
        cls._one_at_a_time = Lock()
        inherited, cls._open = list(cls._open.values()), WeakValueDictionary()
        for environment in inherited:
            environment.is_closed = True
            environment._env.close()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A transaction whose values are views that end with it; raises SourceError."""
        try:
            with self._env.begin(buffers=True) as transaction:
                yield transaction
        except self._lmdb.Error as error:
            raise SourceError(
                f"source.path: {self._path} cannot be read ({type(error).__name__}: {error}); copy "
                "it again"
            ) from None


os.register_at_fork(after_in_child=Environment.forget_after_fork)


def _library(name: str) -> Any:
    """A module of the extra `formats`; raises ConfigError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"source.kind: lmdb needs {name}, which is not installed ({error}); pip install "
            "'face-factory[formats]'"
        ) from None


@dataclass
class Contents:
    """What a layout found: a number of each image in every list."""

    keys: list[bytes]
    sizes: list[int]
    people: list[str]
    """Name of the person in each image."""
    is_packed: bool
    """Whether a value holds more than its image."""
    remarks: tuple[str, ...] = ()


class LmdbSource:
    """A FaceSource over the images of an LMDB, read by any number of threads and processes."""

    corrupt: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        self._path, self._decoder = Path(config.path or ""), decoder
        self._opened: Environment | None = None
        tally = Tally()
        with self._environment.reading() as transaction:
            found = _contents(transaction, self._path, config, tally)
        self.left_out, self.remarks = tally.all(), found.remarks
        check_little_left_out(self.left_out, len(found.keys), config.max_left_out_fraction)
        self.names, self.labels = np.unique(found.people, return_inverse=True)
        self.names = self.names.tolist()
        self._raw, self._is_packed = np.array(found.keys, dtype=np.bytes_), found.is_packed
        stems = [_stem(key.decode()) for key in found.keys]
        doubled = len(stems) - len(set(stems))
        if doubled:
            raise SourceError(
                f"source.path: {doubled} keys in {self._path} differ from others in their suffix "
                "alone; rename one of each two"
            )
        self.keys = Texts(np.array([stem.encode() for stem in stems], dtype=np.bytes_))
        rows = zip(stems, found.sizes, found.people, strict=True)
        listing = "\n".join(f"{key} {size} {person}" for key, size, person in rows)
        self.fingerprint = hashlib.sha256(listing.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    @property
    def _environment(self) -> Environment:
        """That of this process; held, because it closes when no source has it."""
        if self._opened is None or self._opened.is_closed:
            self._opened = Environment.of(self._path)
        return self._opened

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, index: int) -> SourceFace:
        key, name = self.keys[index], bytes(self._raw[index]).decode()
        return self._decoder.face(self.encoded(index), key, [name, key], int(self.labels[index]))

    def encoded(self, index: int) -> bytes:
        with self._environment.reading() as transaction:
            value = transaction.get(bytes(self._raw[index]))
            if value is None:
                raise CorruptImageError(f"{self.keys[index]}: is gone from {self._path}")
            if not self._is_packed:
                return bytes(value)
            packed = _unpacked(value)
        if packed is None:
            raise CorruptImageError(f"{self.keys[index]}: is not an image and its class any more")
        return packed[0]


def _stem(key: str) -> str:
    """A key without the suffix of an image, as those of folders are."""
    return stem_of(key) if key.lower().endswith(IMAGE_SUFFIXES) else key


def _contents(transaction: Any, path: Path, config: SourceConfig, tally: Tally) -> Contents:
    """The images of an LMDB by whichever layout it has."""
    listed = transaction.get(KEYS)
    found = (
        _by_people(transaction, path, tally)
        if listed is None
        else _numbered(transaction, bytes(listed), path, config, tally)
    )
    if not found.keys:
        parts = "; ".join(part.line for part in tally.all())
        raise SourceError(
            f"source.path: no labeled image in {path}{f' ({parts})' if parts else ''}; {LAYOUTS}"
        )
    if any(b"\0" in key for key in found.keys) or not _is_text(b"".join(found.keys)):
        raise SourceError(f"source.path: keys of {path} are not text; {LAYOUTS}")
    return found


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return False


def _numbered(
    transaction: Any, listed: bytes, path: Path, config: SourceConfig, tally: Tally
) -> Contents:
    """The images that `__keys__` lists; raises SourceError where too many cannot be read."""
    keys = _message(listed, path)
    if not isinstance(keys, list) or not all(isinstance(key, bytes) for key in keys):
        raise SourceError(f"source.path: __keys__ of {path} is not a list of keys; {LAYOUTS}")
    if len(set(keys)) < len(keys):
        raise SourceError(f"source.path: __keys__ of {path} has keys that come twice; pack it anew")
    found, num_corrupt, highest = Contents([], [], [], is_packed=True), 0, -1
    for key in keys:
        value = transaction.get(key)
        if value is None:
            tally.add(MISSING_IMAGE, repr(key)[2:-1])
            continue
        if bytes(value[:2]) in PICKLED:
            raise _pickled(path)
        packed = _unpacked(value)
        if packed is None:
            num_corrupt += 1
            continue
        image, label = packed
        if label < 0:
            tally.add(NO_LABEL, repr(key)[2:-1])
            continue
        highest = max(highest, label)
        found.keys.append(key)
        found.sizes.append(len(image))
        found.people.append(f"{label:08d}")
    if num_corrupt > config.max_corrupt_fraction * len(keys):
        raise SourceError(
            f"source.max_corrupt_fraction: {num_corrupt} of {len(keys)} values of {path} are not "
            "msgpack's list of an image and its class; copy it again or raise the limit"
        )
    tables = sum(transaction.get(name) is not None for name in (KEYS, LENGTH, CLASSES))
    unlisted = transaction.stat()["entries"] - tables - len(keys)
    if unlisted > 0:
        tally.add(UNKNOWN_FORMAT, "records that __keys__ does not list", unlisted)
    found.remarks = _remarks(transaction, path, len(keys), found.people, highest, num_corrupt)
    return found


def _remarks(
    transaction: Any, path: Path, num_keys: int, people: list[str], highest: int, num_corrupt: int
) -> tuple[str, ...]:
    """What a person should know of a numbered LMDB, which says how many it holds."""
    wanted = {LENGTH: (num_keys,), CLASSES: (len(set(people)), highest + 1)}
    remarks = []
    for name, right in wanted.items():
        value = transaction.get(name)
        number = None if value is None else _message(bytes(value), path)
        if number is not None and number not in right:
            remarks.append(
                f"{path}: {name.decode()} is {number}, but {right[0]} are there; check that it is "
                "whole"
            )
    if num_corrupt:
        remarks.append(f"{path}: {num_corrupt} values hold no image and class that can be read")
    return tuple(remarks)


def _by_people(transaction: Any, path: Path, tally: Tally) -> Contents:
    """The images whose keys are PERSON/IMAGE, without touching one."""
    found = Contents([], [], [], is_packed=False)
    for view, value in transaction.cursor():
        key = bytes(view)
        if key.startswith(b"_"):
            continue
        if bytes(value[:2]) in PICKLED:
            raise _pickled(path)
        person, _, image = key.partition(b"/")
        if not person or not image:
            tally.add(NO_LABEL, repr(key)[2:-1])
            continue
        found.keys.append(key)
        found.sizes.append(len(value))
        found.people.append(person.decode(errors="backslashreplace"))
    return found


def _unpacked(value: Any) -> tuple[bytes, int] | None:
    """The image and the class of a value: its first bytes, its first number; None without."""
    try:
        parts = _library("msgpack").unpackb(value, raw=True)
    except ValueError:  # as msgpack's errors are
        return None
    if not isinstance(parts, list) or not parts or not isinstance(parts[0], bytes):
        return None
    labels = [part for part in parts if isinstance(part, int) and not isinstance(part, bool)]
    return (parts[0], labels[0]) if labels else None


def _message(data: bytes, path: Path) -> Any:
    """What msgpack wrote into a table; raises SourceError for anything else."""
    if data[:2] in PICKLED:
        raise _pickled(path)
    try:
        return _library("msgpack").unpackb(data, raw=True)
    except ValueError:
        raise SourceError(
            f"source.path: {path} has a table that msgpack did not write; {LAYOUTS}"
        ) from None


def _pickled(path: Path) -> SourceError:
    return SourceError(
        f"source.path: {path} holds pickled Python objects, which are never read, because they "
        "can run any program; write its images into folders, one a person, or pack them with "
        "msgpack as VFace is"
    )
