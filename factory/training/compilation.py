"""Whether and when a training's network is compiled (compute.compile), and what that costs.

With auto, n steps are left after the first few, which take s seconds each. A compiled step takes
r s, and compiling takes c seconds, so that it saves n s (1 - r) - c seconds; it is begun where that
is more than nothing. c and r are the worst that this machine has kept of earlier compiles of such a
network, else those of ASSUMED.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from factory.records import Log
from factory.store.atomic import dispensable, write_atomically
from factory.store.cache import PLACE, cache_root
from factory.store.json_text import json_text
from factory.training.distributed import first_rank_says, rank

WARMUP_STEPS = 2
"""First steps, which are slower than the others and are not measured."""
MEASURED_STEPS = 3
"""Steps whose mean time is taken, before a compile and after one."""
EVERY_S = 20.0
"""Seconds between two lines while a network is compiled."""
NUM_KEPT = 5
"""Compiles of such a network that a machine keeps in mind."""


@dataclass(frozen=True)
class CompileCost:
    """What compiling a network once costs, and what it brings."""

    compile_s: float
    """Seconds that the first compiled step takes longer than those after it."""
    step_ratio: float
    """Seconds of a compiled step over those of an uncompiled one."""


ASSUMED = {"cpu": CompileCost(130.0, 0.6), "cuda": CompileCost(130.0, 0.7)}
"""Where no compile is kept. On two CPU cores (2026-11-27, both busy with other work) 40 steps of
configs/generator/mini.yaml in batches of 16 took 29 s uncompiled and 166 s compiled, so that c is
about 137 s less what was saved; r and both of a GPU are cautious estimates, not measured."""


def seconds_saved(num_steps: int, step_s: float, cost: CompileCost) -> float:
    """Seconds n s (1 - r) - c that compiling saves over `num_steps` steps; below 0 it costs."""
    return num_steps * step_s * (1 - cost.step_ratio) - cost.compile_s


class Compilation:
    """Compiles `network` before its first step (True), never (False), or where it pays ("auto").

    The choice is that of rank 0, and is logged. It is no part of a training's identity: a resume
    chooses anew, by the steps that are left.
    """

    def __init__(
        self,
        network: nn.Module,
        choice: Literal["auto", True, False],
        device: torch.device,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._choice, self._device = network, choice, device
        self._log, self._clock = log, clock
        self._costs = KeptCosts(network, device)

    def over(self, steps: Iterator[int], num_steps: int) -> Iterator[int]:
        """The same `num_steps` steps, between which the network may be compiled."""
        if self._choice == "auto":
            yield from self._where_it_pays(steps, num_steps)
        elif self._choice:
            self._network.compile()
            with announced(self._log):
                yield from islice(steps, 1)
        yield from steps

    def _where_it_pays(self, steps: Iterator[int], num_steps: int) -> Iterator[int]:
        """The steps up to the choice, and those in which a compile is measured."""
        left = num_steps - WARMUP_STEPS - MEASURED_STEPS
        if left <= 0:
            return
        yield from islice(steps, WARMUP_STEPS)
        step_s = yield from self._mean_seconds(steps)
        cost, known = self._costs.expected()
        missing = missing_compiler(self._device)
        begun = first_rank_says(not missing and seconds_saved(left, step_s, cost) > 0)
        saved = f"{left} steps of {step_s:.3g} s would take {left * step_s * cost.step_ratio:.0f} s"
        self._log(
            f"compute.compile=auto: {'compiling' if begun else 'not compiled'}: {saved} instead of "
            f"{left * step_s:.0f} s, after {cost.compile_s:.0f} s of compiling ({known})"
            f"{f'; {missing}' if missing else ''}"
        )
        if begun:
            yield from self._measured_compile(steps, step_s)

    def _measured_compile(self, steps: Iterator[int], step_s: float) -> Iterator[int]:
        """The first compiled steps; what they took is kept for later trainings."""
        torch._dynamo.config.suppress_errors = True  # because a choice of ours must end no training
        self._network.compile()
        started = self._clock()
        with announced(self._log):
            yield from islice(steps, 1)
            self._wait_for_device()
        first_s = self._clock() - started
        compiled_s = yield from self._mean_seconds(steps)
        if compiled_s == 0:  # because no step came after the first
            return
        cost = CompileCost(max(first_s - compiled_s, 0.0), compiled_s / step_s)
        self._log(
            f"compiled in {cost.compile_s:.0f} s; a step takes {compiled_s:.3g} s instead of "
            f"{step_s:.3g} s"
        )
        if rank() == 0:
            self._costs.keep(cost)

    def _mean_seconds(self, steps: Iterator[int]) -> Generator[int, None, float]:
        """Yields MEASURED_STEPS steps and returns what one took; 0 where none is left."""
        self._wait_for_device()
        started, count = self._clock(), 0
        for step in islice(steps, MEASURED_STEPS):
            yield step
            count += 1
        self._wait_for_device()
        return (self._clock() - started) / count if count else 0.0

    def _wait_for_device(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class KeptCosts:
    """What this machine knows of compiling a kind of network, below $XDG_CACHE_HOME.

    A kind is the class of a network, its number of parameters, and the name of the device.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._device = device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()}"
        size = sum(parameter.numel() for parameter in network.parameters())
        kind = f"{type(network).__qualname__} {size} {device.type} {name} {torch.__version__}"
        digest = hashlib.sha256(kind.encode()).hexdigest()[:16]
        self._file: Path = cache_root() / "compiles" / f"{digest}.json"

    def expected(self) -> tuple[CompileCost, str]:
        """The worst of what is kept, else ASSUMED; and in words, which of them it is."""
        kept = self._read()
        if not kept:
            return ASSUMED.get(self._device.type, ASSUMED["cuda"]), "assumed"
        worst = CompileCost(max(c.compile_s for c in kept), max(c.step_ratio for c in kept))
        return worst, "as measured before"

    def keep(self, cost: CompileCost) -> None:
        """Keep a cost for later trainings; a cache that cannot be written is said once."""
        kept = [vars(part) for part in [*self._read(), cost][-NUM_KEPT:]]
        with dispensable(PLACE):
            write_atomically(self._file, json_text(kept).encode(), PLACE, durable=False)

    def _read(self) -> list[CompileCost]:
        with suppress(OSError, ValueError, TypeError):  # none yet, or not as we write it
            return [CompileCost(**part) for part in json.loads(self._file.read_text())]
        return []


def missing_compiler(device: torch.device) -> str:
    """What this machine lacks to compile for a device; empty where it has all."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        return f"there is no C++ compiler {compiler}"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "there is no Triton"
    return ""


@contextmanager
def announced(log: Log) -> Iterator[None]:
    """Say every EVERY_S seconds that a network is being compiled, and for how long."""
    done, started = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(EVERY_S):
            log(f"compiling ... {time.monotonic() - started:.0f} s")

    thread = threading.Thread(target=tell, name="compiling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
