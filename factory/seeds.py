"""Random streams: seeds made of what they are for, without any global generator."""

from __future__ import annotations

import hashlib

import torch


def stream_seed(*parts: int | str) -> int:
    """A 63-bit seed from blake2b of its parts: independent streams without a global generator."""
    text = "/".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def torch_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `stream_seed`."""
    return torch.Generator().manual_seed(stream_seed(*parts))
