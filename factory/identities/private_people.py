"""What makers need of real people and no release may hold: vectors, places, keys of images.

A vector of a real person is a face template, and a key of an image in a source often holds a name.
Both lie outside of a release while it is made, and are removed when it is published.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np

NOBODY = -1
"""In the place of a prototype that the recognizer has not."""


@dataclass(frozen=True)
class PrivatePeople:
    """The real people of a roster, in its order."""

    unit_RD: np.ndarray
    """float32 vectors: prototypes of the recognizer, or class centers of the source."""
    labels: tuple[int, ...]
    """Of each person in the source."""
    prototypes: tuple[int, ...]
    """Rows among the recognizer's real prototypes; NOBODY where there is none."""
    originals: tuple[tuple[str, ...], ...] = ()
    """Keys in the source of the images that are edited, as the roster lists them by what they are
    called; () where nothing is edited."""
    loras: tuple[int, ...] = ()
    """Units of a set of LoRAs; () where none draw."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def people_sha256(self) -> str:
        """Digest of all that is the same on every machine."""
        return hashlib.sha256(_json([self.labels, self.prototypes, self.originals])).hexdigest()

    @property
    def vectors_sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.unit_RD, "<f4").tobytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """An .npz of two arrays: the vectors, and the rest as JSON."""
        body = [self.labels, self.prototypes, self.originals, self.loras]
        buffer = io.BytesIO()
        people = np.frombuffer(_json(body), np.uint8)
        np.savez(buffer, people=people, unit_RD=np.asarray(self.unit_RD, "<f4"))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivatePeople:
        """What `to_bytes` gave; nothing in it is run."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            labels, prototypes, originals, loras = json.loads(arrays["people"].tobytes())
            keys = tuple(tuple(own) for own in originals)
            return cls(arrays["unit_RD"], tuple(labels), tuple(prototypes), keys, tuple(loras))


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
