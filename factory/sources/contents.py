"""A digest of every image of a source, for what is kept of them from one time to the next.

A source's own fingerprint is of names and sizes, so that it costs nothing to open one.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from factory.sources.base import CorruptImageError, FaceSource
from factory.sources.texts import texts_sha256

BLOCK = 1024
"""Images whose digests are computed together."""
NUM_THREADS = 8


def contents_sha256(source: FaceSource) -> str:
    """sha256 of the bytes, key and identity of every image; reads each once and decodes none."""

    def block(start: int) -> bytes:
        indices = range(start, min(start + BLOCK, len(source)))
        return b"".join(_digest(source, index) for index in indices)

    digest = hashlib.sha256(texts_sha256(source.names, source.keys).digest())
    digest.update(source.labels.astype("<i8").tobytes())
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for part in pool.map(block, range(0, len(source), BLOCK)):
            digest.update(part)
    return digest.hexdigest()


def _digest(source: FaceSource, index: int) -> bytes:
    try:
        return hashlib.sha256(source.encoded(index)).digest()
    except CorruptImageError:  # which is left out wherever it is met
        return bytes(32)
