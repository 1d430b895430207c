"""Verification pairs: LFW's pairs.txt over a source, or insightface's .bin (METHODS 8).

A .bin is a pickle, and a pickle can run code: it is read by an unpickler that allows no
names but those which byte strings and numpy arrays need.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.recognition.group_table import read_groups
from factory.sources import FaceSet, open_source, read_faces
from factory.sources.decoding import BACKGROUND, decode_image
from factory.tables import UserFile, nfc

NUM_FOLDS = 10
"""Folds of pairs whose file names no number of folds."""
MAX_BYTES = 4 << 30
"""Largest .bin that is read; the published ones have 60 to 200 MB."""


@dataclass(frozen=True)
class Pairs:
    """Pair i is images 2i and 2i+1 of RGB uint8 [2N, H, W, 3]; same person or not [N]."""

    images_NHWC: np.ndarray
    same: np.ndarray
    num_folds: int = NUM_FOLDS
    keys: tuple[str, ...] = ()
    """Of the 2N images in their source; empty for those of a .bin, which has none."""
    people: tuple[str, ...] = ()
    """Names of the 2N images' people; empty where nobody knows them."""
    groups: tuple[str | None, ...] = ()
    """Groups of the 2N images, None for one without; empty where nobody asks for groups."""
    group_fmr: float = 0.01
    """FMR over all pairs at whose threshold groups are compared."""
    acquired: np.ndarray | None = None
    """Where failures to acquire count: whether each of the 2N images could be read; the others are
    black. None: all could."""

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Keys of the 2N images; those of a .bin are numbers from 000000."""
        return self.keys or tuple(f"{row:06d}" for row in range(2 * len(self.same)))

    @property
    def image_people(self) -> tuple[str | None, ...]:
        """Names of the 2N images' people, None where nobody knows them."""
        return self.people or (None,) * (2 * len(self.same))

    @property
    def numbers_N2(self) -> np.ndarray | None:
        """Who is in each pair [N, 2], by numbers from 0 in the order of names; None: not known."""
        if not self.people:
            return None
        return np.unique(self.people, return_inverse=True)[1].reshape(-1, 2)


def read_bin(
    path: str | Path, image_px: int, max_pixels: int = 50_000_000, background: int = BACKGROUND
) -> Pairs:
    """Read insightface's .bin; raises SourceError for anything else, with what it tried to load."""
    encoded, same = read_encoded(path)
    images = [
        decode_image(data, f"{path}[{i}]", max_pixels, background) for i, data in enumerate(encoded)
    ]
    for i, image in enumerate(images):
        if image.shape != (image_px, image_px, 3):
            raise SourceError(
                f"source.image_px: {path}[{i}] is {image.shape[1]}x{image.shape[0]}, not "
                f"{image_px}x{image_px}; set source.image_px to its size"
            )
    return Pairs(np.stack(images), same)


def read_encoded(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """The encoded images of a .bin, two for each pair, and whether a pair is one person [N].

    Raises SourceError as `read_bin`.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise SourceError(f"source.pairs: {path} is no file of at most {MAX_BYTES >> 30} GiB")
    try:
        content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except SourceError as error:
        raise SourceError(f"source.pairs: {path} {error}") from None
    except Exception as error:  # because damaged pickles raise nearly anything
        raise SourceError(
            f"source.pairs: {path} is not a readable .bin ({type(error).__name__})"
        ) from None
    encoded, same = _lists_of(content, path)
    return [_bytes_of(item, path) for item in encoded], same


def open_pairs(config: SourceConfig) -> Pairs:
    """The pairs of source.pairs.

    A .bin holds its images; pairs.txt names images of source.heldout where given, else of the
    source itself. Raises SourceError, also where all pairs are of one kind.
    """
    assert config.pairs, "needs source.pairs"
    groups = read_groups(config.groups) if config.groups else None
    pairs = _bin_or_listed(config, config.pairs)
    if groups is None:
        return pairs
    found = groups.of(pairs.image_keys, pairs.image_people)
    return replace(pairs, groups=found, group_fmr=config.group_fmr)


def _bin_or_listed(config: SourceConfig, path: str) -> Pairs:
    if path.endswith(".bin"):
        pairs = read_bin(path, config.image_px, config.max_pixels, config.background)
        _refuse_one_kind(pairs.same, path)
        return pairs
    if not Path(path).is_file():
        raise SourceError(f"source.pairs: no such file {path!r}; want pairs.txt or a .bin")
    source = open_source(config.other if config.heldout else config)
    if not config.count_failures:
        return pairs_over(read_faces(source, config.max_corrupt_fraction), path)
    faces = read_faces(source, config.max_corrupt_fraction, everybody=False)
    readable, labels = set(faces.keys), np.asarray(source.labels)
    failed = {
        str(key): str(source.names[labels[index]])
        for index, key in enumerate(source.keys)
        if key not in readable
    }
    return pairs_over(faces, path, failed)


def pairs_over(faces: FaceSet, path: str | Path, failed: Mapping[str, str] | None = None) -> Pairs:
    """The pairs of LFW's pairs.txt among faces in memory, whose keys are NAME/NAME_0001.

    `failed` are the people of images that could not be acquired, by key, where their pairs count.
    Raises SourceError for a line that is no pair, and for a key that is not among the faces.
    """
    keys, same, num_folds = read_lfw(path)
    rows = {nfc(key): row for row, key in enumerate(faces.keys)}
    rows |= {nfc(key): len(faces) + row for row, key in enumerate(failed or ())}
    missing = [number for number, pair in enumerate(keys, 1) for key in pair if key not in rows]
    if missing:
        hint = ", or source.count_failures=true for images that cannot be read"
        raise SourceError(
            f"source.pairs: pair {missing[0]} of {path} names an image that is not in the source "
            f"({len(missing)} such); use the pairs file of this source{hint * (failed is None)}"
        )
    chosen = np.array([rows[key] for pair in keys for key in pair])
    acquired = chosen < len(faces)
    all_keys = [*faces.keys, *(failed or ())]
    people = [faces.names[label] for label in faces.labels] + list((failed or {}).values())
    images_NHWC = faces.images_NHWC[np.where(acquired, chosen, 0)]
    images_NHWC[~acquired] = 0
    return Pairs(
        images_NHWC,
        same,
        num_folds,
        tuple(all_keys[row] for row in chosen),
        tuple(people[row] for row in chosen),
        acquired=None if failed is None else acquired,
    )


def read_lfw(path: str | Path) -> tuple[list[tuple[str, str]], np.ndarray, int]:
    """Read LFW's pairs.txt: pairs of keys NAME/NAME_0001, same-person flags, number of folds.

    A first line `10 300` is that of ten folds of 300 pairs of each kind; `500`, as in
    pairsDevTest.txt, counts the pairs of each kind, which then have NUM_FOLDS. Raises SourceError,
    also where the pairs are not as many as the first line says.
    """
    file = UserFile("source.pairs", str(path), "LFW's pairs.txt, in UTF-8")
    lines = [(number, line.split()) for number, line in file.lines()]
    head = lines[0][1] if lines else []
    numbers = [int(text) for text in head if text.isdecimal()]
    well_formed = 1 <= len(head) == len(numbers) <= 2 and min(numbers) >= 1
    if len(lines) < 2 or not well_formed or (len(numbers) == 2 and numbers[0] < 2):
        raise SourceError(
            f"{path} line 1: got {' '.join(head[:4])!r}; want the number of folds, 2 at least, and "
            "of pairs of a kind in each, as `10 300`; then pairs"
        )
    pairs = [_lfw_pair(path, number, fields) for number, fields in lines[1:]]
    same = np.array([len(fields) == 3 for _, fields in lines[1:]])
    _refuse_one_kind(same, path)
    _refuse_other_number(same, path, numbers)
    return pairs, same, numbers[0] if len(numbers) == 2 else NUM_FOLDS


def _lfw_pair(path: str | Path, number: int, fields: list[str]) -> tuple[str, str]:
    """The keys of a line of pairs.txt: `NAME 1 2` is one person, `NAME 1 OTHER 2` are two."""
    if len(fields) not in (3, 4):
        raise SourceError(f"{path} line {number}: want 3 or 4 fields, got {len(fields)}")
    numbers = fields[1:] if len(fields) == 3 else fields[1::2]
    if not all(text.isdecimal() for text in numbers):
        raise SourceError(f"{path} line {number}: want image numbers in {len(fields)} fields")
    name, other = fields[0], fields[0] if len(fields) == 3 else fields[2]
    return _lfw_key(name, numbers[0]), _lfw_key(other, numbers[1])


def _refuse_other_number(same: np.ndarray, path: str | Path, head: list[int]) -> None:
    """Raise SourceError unless pairs of each kind are as many as the first line says."""
    genuine, impostor, wanted = int(same.sum()), int((~same).sum()), math.prod(head)
    if genuine == impostor == wanted:
        return
    there = f"there are {genuine} genuine and {impostor} impostor pairs"
    if len(head) == 1:
        raise SourceError(
            f"{path} line 1: got {wanted} alone, which counts the pairs of each kind; {there}; "
            "want that number, or folds, as `10 300`"
        )
    raise SourceError(
        f"{path} line 1: got `{head[0]} {head[1]}`, which is {wanted} pairs of each kind; {there}; "
        "want the whole file, or the numbers of this one"
    )


def _refuse_one_kind(same: np.ndarray, path: str | Path) -> None:
    """Raise SourceError unless there are genuine pairs and impostor pairs."""
    genuine = int(same.sum())
    if genuine in (0, len(same)):
        there, missing = ("genuine", "impostor") if genuine else ("impostor", "genuine")
        raise SourceError(
            f"source.pairs: {path} has {len(same)} {there} pairs and no {missing} ones; want both, "
            "because accuracy and AUC compare them"
        )


class _Unpickler(pickle.Unpickler):
    """Allows the names that byte strings and plain numpy arrays need, by safe replacements."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "dtype"): _plain_dtype,
            ("numpy", "ndarray"): np.ndarray,
            ("_codecs", "encode"): _encode_latin1,
        }
        for package in ("numpy.core", "numpy._core"):  # numpy 1 and 2
            allowed[f"{package}.multiarray", "_reconstruct"] = _empty_array
            allowed[f"{package}.numeric", "_frombuffer"] = _array_of_buffer
        if (module, name) not in allowed:
            raise SourceError(
                f"asks for {module}.{name}; a .bin may hold lists, bytes, booleans and arrays only"
            )
        return allowed[module, name]

    def persistent_load(self, _: Any) -> Any:
        raise SourceError("asks for a persistent object; a .bin may not")


def _plain_dtype(code: Any, *_: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(code.decode() if isinstance(code, bytes) else code)
    if dtype.kind not in "bui":
        raise SourceError(f"holds an array of {dtype}; a .bin may hold bytes and booleans")
    return dtype


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)  # pickle then sets its shape and bytes


def _array_of_buffer(buffer: Any, dtype: np.dtype[Any], shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _encode_latin1(text: str, *_: Any) -> bytes:
    return text.encode("latin1")


def _lists_of(content: Any, path: Path) -> tuple[list[Any], np.ndarray]:
    well_formed = (
        isinstance(content, list | tuple)
        and len(content) == 2
        and all(isinstance(part, list | tuple | np.ndarray) for part in content)
    )
    if not well_formed:
        raise SourceError(f"source.pairs: {path} is not (images, same-person flags)")
    encoded, same = list(content[0]), list(content[1])
    flags = all(isinstance(flag, bool | int | np.bool_ | np.integer) for flag in same)
    if not same or not flags or len(encoded) != 2 * len(same):
        raise SourceError(
            f"source.pairs: {path} has {len(encoded)} images and {len(same)} flags; want two "
            "images for each flag"
        )
    return encoded, np.array(same, dtype=bool)


def _bytes_of(encoded: Any, path: Path) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    if isinstance(encoded, np.ndarray) and encoded.dtype == np.uint8:
        return encoded.tobytes()
    raise SourceError(f"source.pairs: {path} holds a {type(encoded).__name__} for an image")


def _lfw_key(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
