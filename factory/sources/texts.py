"""Sequences of texts that lie in arrays: no Python object for a text that nobody asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np

AT_ONCE = 65536
"""Texts that are hashed together."""


class LazyTexts(Sequence[str]):
    """A sequence of texts made when they are asked for; equal to any sequence of the same ones."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return Taken(self, np.arange(len(self))[index])
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return self._text(position)

    def __iter__(self) -> Iterator[str]:
        return (self._text(position) for position in range(len(self)))

    def _text(self, position: int) -> str:
        raise NotImplementedError


class Texts(LazyTexts):
    """Texts of an array of bytes, numpy's S."""

    def __init__(self, column: np.ndarray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def _text(self, position: int) -> str:
        return bytes(self._column[position]).decode()


class NumberedKeys(LazyTexts):
    """Keys of a release, IDENTITY_IMAGE, made of the numbers of both (PROTOCOL, layout)."""

    def __init__(
        self, numbers: np.ndarray, labels: np.ndarray, images: np.ndarray, digits: tuple[int, int]
    ) -> None:
        """`numbers[labels[i]]` is the identity of image i; `digits` are of identity and image."""
        self._numbers, self._labels, self._images, self._digits = numbers, labels, images, digits

    def __len__(self) -> int:
        return len(self._labels)

    def _text(self, position: int) -> str:
        wide, narrow = self._digits
        number = int(self._numbers[self._labels[position]])
        return f"{number:0{wide}d}_{int(self._images[position]):0{narrow}d}"


class Taken(LazyTexts):
    """Some of the texts of a sequence, by their positions in it."""

    def __init__(self, texts: Sequence[str], positions: np.ndarray) -> None:
        self._texts, self._positions = texts, positions

    def __len__(self) -> int:
        return len(self._positions)

    def _text(self, position: int) -> str:
        return self._texts[int(self._positions[position])]


def texts_sha256(*parts: Sequence[str]) -> Any:
    """hashlib's sha256 of all texts with a line break between each two, a block at a time."""
    digest, first = hashlib.sha256(), True
    texts = (text for part in parts for text in part)
    while block := list(islice(texts, AT_ONCE)):
        digest.update((("" if first else "\n") + "\n".join(block)).encode())
        first = False
    return digest
