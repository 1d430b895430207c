"""Streams of random numbers repeat, and differ by what they are for."""

from __future__ import annotations

import torch

from factory.seeds import stream_seed, torch_generator


def test_streams_differ_and_repeat():
    assert stream_seed(1, 2, "noise", 0) == stream_seed(1, 2, "noise", 0)
    assert len({stream_seed(1, i, "noise", a) for i in range(100) for a in range(3)}) == 300
    assert stream_seed(1, 23) != stream_seed(12, 3)


def test_a_generator_is_seeded_by_its_stream():
    first, again = (torch.rand(4, generator=torch_generator(1, "noise", 2)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(4, generator=torch_generator(1, "noise", 3)))
