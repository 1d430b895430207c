"""The gate of a million people on a device, as tests.benchmarks.gate_at_scale has it on a CPU."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from factory.identities.gate import Gate
from factory.identities.proposals import PcaProposal
from tests.benchmarks.gate_at_scale import plain_loop, training_set
from tests.benchmarks.gpu.machine import Budget, peak_memory, reset_peak

BLOCK = 8192
MAX_COSINE = 0.6
SPARE_S = 15.0
"""Seconds that are kept for the certificate of a gate that time cuts off, and for what follows."""


class TimedProposal:
    """A proposal that knows how long it drew."""

    def __init__(self, proposal: PcaProposal) -> None:
        self._proposal, self.name, self.seconds = proposal, proposal.name, 0.0

    def draw(self, identities_M: np.ndarray, attempts_M: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        unit_MD = self._proposal.draw(identities_M, attempts_M)
        self.seconds += time.perf_counter() - started
        return unit_MD


def measure(device: torch.device, budget: Budget) -> dict[str, Any]:
    """Seconds to admit, or how many were admitted in the time that was left; the plain loop's."""
    wanted, num_real, dim, prefix = (
        (600, 300, 128, 100) if budget.small else (1_000_000, 100_000, 256, 1000)
    )
    proposal, real = training_set(num_real, dim, seed=0)
    timed = TimedProposal(proposal)
    reset_peak(device)
    started = time.perf_counter()
    gate = Gate(real, MAX_COSINE)
    admitted = 0
    for first in range(0, wanted, BLOCK):
        if budget.left_s < SPARE_S + 1.5 * (time.perf_counter() - started):
            break  # because the certificate takes about as long as the gate
        identities = np.arange(first, min(first + BLOCK, wanted))
        gate.admit_block(timed, identities, 1000, wanted)
        admitted += len(identities)
    gate_s = time.perf_counter() - started
    admission = gate.certified()
    certificate_s = time.perf_counter() - started - gate_s
    prefix = min(prefix, admitted)
    plain = plain_loop(proposal, real, prefix, MAX_COSINE)
    return {
        "wanted": wanted,
        "admitted": admitted,
        "real": num_real,
        "dim": dim,
        "drawn_again": float((np.array(admission.attempts) > 0).mean()) if admitted else None,
        "gate_s": round(gate_s, 2),
        "drawing_s": round(timed.seconds, 2),
        "certificate_s": round(certificate_s, 2),
        "products": admission.num_products,
        "peak_memory_bytes": peak_memory(device),
        "prefix_equals_plain_loop": bool(np.array_equal(plain, admission.unit_ND[:prefix])),
        "prefix": prefix,
    }
