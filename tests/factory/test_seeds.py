"""Random streams: releases are made again by them, so their values may never change."""

from __future__ import annotations

import torch

from factory.seeds import stream_seed, torch_generator


def test_seeds_are_the_ones_that_releases_were_made_with():
    assert stream_seed(0, "noise", 3) == 8286182185518649704
    assert torch.rand(2, generator=torch_generator(0, "noise", 3)).tolist() == [
        0.6645351648330688,
        0.47734326124191284,
    ]


def test_parts_do_not_run_into_each_other():
    assert stream_seed(1, 23) != stream_seed(12, 3)
    assert stream_seed("a", "b") != stream_seed("ab")
    assert len({stream_seed(0, "shot", i) for i in range(10_000)}) == 10_000
    assert all(0 <= stream_seed(i) < 2**63 for i in range(1000))


def test_a_generator_is_its_own_and_leaves_the_global_one():
    state = torch.get_rng_state()
    first, again = torch_generator("x", 1), torch_generator("x", 1)
    assert torch.equal(torch.randn(5, generator=first), torch.randn(5, generator=again))
    assert torch.equal(torch.get_rng_state(), state)
