"""A compiled network: what a call costs nobody, and what it says where nothing can be compiled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from factory.diffusion.compiled import CompiledNetwork
from factory.errors import ConfigError

CPU = torch.device("cpu")


class Twice(nn.Module):
    def forward(self, x, hint=None):
        if hint is not None:
            raise KeyError("no such layer")
        return 2 * x


@pytest.fixture
def asked(monkeypatch):
    """What torch.compile is asked for; it compiles with dynamo and without a C++ compiler."""
    asked, compile_ = {}, torch.compile

    def traced(network, **options):
        asked.update(options)
        return compile_(network, backend="eager", dynamic=options["dynamic"])

    monkeypatch.setattr(torch, "compile", traced)
    return asked


def test_the_answer_is_the_networks_and_shapes_are_fixed(asked):
    network = CompiledNetwork(Twice(), CPU)
    assert network(torch.ones(2)).tolist() == [2, 2]
    assert asked == {"mode": "default", "dynamic": False}


def test_on_a_gpu_launches_are_recorded_and_an_answer_outlives_the_next(asked, monkeypatch):
    """A CUDA graph writes each answer to the same place, so that one is copied."""
    steps, place = [], torch.zeros(2)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append(1))
    network = CompiledNetwork(Twice(), torch.device("cuda"))
    assert asked["mode"] == "reduce-overhead"
    network._call = lambda x: place.copy_(2 * x)
    first, second = network(torch.ones(2)), network(torch.full((2,), 3.0))
    assert (first.tolist(), second.tolist(), len(steps)) == ([2, 2], [6, 6], 2)


def test_an_error_of_the_network_is_no_error_of_the_compiler(asked):
    network = CompiledNetwork(Twice(), CPU)
    network._call = Twice()
    with pytest.raises(KeyError, match="no such layer"):
        network(torch.ones(2), hint=torch.ones(2))


def test_without_a_compiler_there_is_one_line(asked):
    class InductorError(Exception):
        pass

    InductorError.__module__ = "torch._inductor.exc"
    network = CompiledNetwork(Twice(), CPU)

    def fails(x):
        raise InductorError("InvalidCxxCompiler: No working C++ compiler\nand a long trace")

    network._call = fails
    with pytest.raises(
        ConfigError,
        match=r"^compute\.compile: torch\.compile fails here \(InductorError: InvalidCxx.*compiler"
        r"\); want a C\+\+ compiler on a CPU, Triton on a GPU, or compute\.compile=false$",
    ):
        network(torch.ones(2))
