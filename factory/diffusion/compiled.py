"""A network compiled for the shape of a planned batch (compute.compile).

On a GPU its launches are recorded as a CUDA graph, which a call replays as one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from factory.errors import ConfigError


class CompiledNetwork:
    """Calls a network through torch.compile; the first call of a shape compiles it.

    Raises ConfigError where this machine cannot compile.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        mode = "reduce-overhead" if self._on_gpu else "default"
        self._call = torch.compile(network, mode=mode, dynamic=False)

    def __call__(self, *inputs: Any, **named: Any) -> torch.Tensor:
        if self._on_gpu:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            output: torch.Tensor = self._call(*inputs, **named)
        except Exception as error:
            if not _is_of_the_compiler(error):
                raise
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"compute.compile: torch.compile fails here ({type(error).__name__}: {reason}); "
                "want a C++ compiler on a CPU, Triton on a GPU, or compute.compile=false"
            ) from error
        return output.clone() if self._on_gpu else output  # the next call writes where this did


def _is_of_the_compiler(error: Exception) -> bool:
    """Whether the compiler raised it, and not what it compiled."""
    from torch._dynamo.exc import TorchDynamoException

    of_inductor = type(error).__module__.startswith("torch._inductor")
    return of_inductor or isinstance(error, TorchDynamoException)
