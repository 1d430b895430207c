"""Where the faces of an LMDB are, by the layouts that datasets are published in.

Two layouts are read, and nothing is ever unpickled:

- numbered (VFace, HSFace, Vec2Face's WebFace4M; lists of images by HaiyuWu and vitoralbiero):
  `__keys__` is msgpack's list of all keys, `__len__` how many they are and `__classnum__` how many
  people, and each value is msgpack's list [image, class] or [image, feature, class, ...], of which
  the first bytes and the first number count.
- people: keys PERSON/IMAGE, each value an encoded image; keys that begin with an underscore are
  tables of others and are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.left_out import MISSING_IMAGE, NO_LABEL, Tally
from factory.sources.lmdb_environment import library

KEYS, LENGTH, CLASSES = b"__keys__", b"__len__", b"__classnum__"
PICKLED = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
"""How a value begins that pickle wrote, but no list of msgpack's."""
LAYOUTS = (
    "want __keys__, __len__ and __classnum__ with values [image, class] by msgpack (as VFace), or "
    "keys PERSON/IMAGE with encoded images"
)


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


def contents_of(transaction: Any, path: Path, config: SourceConfig, tally: Tally) -> Contents:
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
    if any(b"\0" in key for key in found.keys) or not all(map(_is_text, found.keys)):
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
    found, highest = Contents([], [], [], is_packed=True), -1
    num_corrupt = num_missing = 0
    for key in keys:
        value = transaction.get(key)
        if value is None:
            tally.add(MISSING_IMAGE, repr(key)[2:-1])
            num_missing += 1
            continue
        if bytes(value[:2]) in PICKLED:
            raise _pickled(path)
        packed = unpacked(value)
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
    unlisted = transaction.stat()["entries"] - tables - (len(keys) - num_missing)
    if unlisted > 0:
        tally.add(NO_LABEL, "records that __keys__ does not list", unlisted)
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


def unpacked(value: Any) -> tuple[bytes, int] | None:
    """The image and the class of a value: its first bytes, its first number; None without."""
    msgpack = library("msgpack")
    try:
        parts = msgpack.unpackb(value, raw=True)
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
    msgpack = library("msgpack")
    try:
        return msgpack.unpackb(data, raw=True)
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
