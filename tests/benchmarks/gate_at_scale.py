"""A roster of hundreds of thousands before a real gallery: time, memory, the plain loop's answer.

    python -m tests.benchmarks.gate_at_scale --identities 300000 --real 100000 --prefix 30000

Prints JSON: accepted, fraction drawn again, seconds of gate and certificate, peak memory, inner
products, seconds over the arithmetic floor, and whether a plain loop admits the same first ones.
The floor is the same products at the rate of this machine's large bfloat16 products, measured
between blocks all along: the machine's rate changes by half within minutes.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from factory.identities.gate import Gate
from factory.identities.proposals import PcaProposal
from tests.memory import peak_bytes
from tests.vectors import exact_cosine

EFFECTIVE_DIM = 64
NEAR = 1e-4
"""Float32 products this near to the gate are computed again by the plain loop."""


def training_set(num_real: int, dim: int, seed: int) -> tuple[PcaProposal, np.ndarray]:
    """(a pca proposal, real people) of effective dimension EFFECTIVE_DIM in `dim` dimensions."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(dim, EFFECTIVE_DIM)))
    real = rng.normal(size=(num_real, EFFECTIVE_DIM)) @ basis.T
    real += 0.01 * rng.normal(size=real.shape)
    real = (real / np.linalg.norm(real, axis=1, keepdims=True)).astype(np.float32)
    return PcaProposal(real[: 4 * dim], EFFECTIVE_DIM, seed), real


def plain_loop(proposal: PcaProposal, real: np.ndarray, count: int, limit: float) -> np.ndarray:
    """The first `count` identities, one after the other."""
    everybody = np.concatenate([real, np.empty((count, real.shape[1]), np.float32)])
    for identity in range(count):
        size, attempt = len(real) + identity, 0
        while True:
            vector = proposal.draw(np.array([identity]), np.array([attempt]))[0]
            cosines = everybody[:size] @ vector
            unsure = np.flatnonzero(np.abs(cosines - limit) < NEAR)
            near = (cosines >= limit + NEAR).any()
            if not near and not any(exact_cosine(vector, everybody[i]) >= limit for i in unsure):
                break
            attempt += 1
        everybody[size] = vector
    return everybody[len(real) :]


def products_a_second(dim: int) -> float:
    """Inner products of `dim` that this machine makes a second in bfloat16, the best of three."""
    a, b = torch.randn(4096, dim).bfloat16(), torch.randn(4096, dim).bfloat16()
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        a @ b.T
        best = min(best, time.perf_counter() - started)
    return 4096 * 4096 / best


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("identities", 20_000), ("real", 20_000), ("dim", 512), ("prefix", 500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--max-cosine", type=float, default=0.6)
    parser.add_argument("--block", type=int, default=4096)
    arguments = parser.parse_args()
    proposal, real = training_set(arguments.real, arguments.dim, seed=0)
    rates = [products_a_second(arguments.dim)]
    before = peak_bytes()
    started, measuring_s = time.perf_counter(), 0.0
    gate = Gate(real, arguments.max_cosine, None)
    drawing_s = 0.0

    class Timed:
        name = proposal.name

        def draw(self, identities, attempts):
            nonlocal drawing_s
            begun = time.perf_counter()
            vectors = proposal.draw(identities, attempts)
            drawing_s += time.perf_counter() - begun
            return vectors

    for first in range(0, arguments.identities, arguments.block):
        ids = np.arange(first, min(first + arguments.block, arguments.identities))
        gate.admit_block(Timed(), ids, 1000, arguments.identities)
        begun = time.perf_counter()
        rates.append(products_a_second(arguments.dim))
        measuring_s += time.perf_counter() - begun
    gate_s = time.perf_counter() - started - measuring_s
    admitted = time.perf_counter()
    admission = gate.certified()
    certificate_s = time.perf_counter() - admitted
    peak = peak_bytes() - before
    prefix = plain_loop(proposal, real, arguments.prefix, arguments.max_cosine)
    attempts = np.array(admission.attempts)
    naive = float(((attempts + 1) * (arguments.real + np.arange(len(attempts)))).sum())
    floor_s = admission.num_products / float(np.median(rates))
    print(
        json.dumps(
            {
                "accepted": len(attempts),
                "drawn_again": float((attempts > 0).mean()),
                "max_cosine": arguments.max_cosine,
                "nearest_real_max": float(admission.nearest_real.max()),
                "nearest_other_max": float(admission.nearest_other.max()),
                "gate_s": round(gate_s, 1),
                "drawing_s": round(drawing_s, 1),
                "certificate_s": round(certificate_s, 1),
                "peak_bytes": peak,
                "products": admission.num_products,
                "products_over_naive": round(admission.num_products / naive, 3),
                "gate_over_floor": round((gate_s - drawing_s) / floor_s, 2),
                "tera_operations_a_second": [
                    round(2e-12 * arguments.dim * float(rate), 3)
                    for rate in np.quantile(rates, [0, 0.5, 1])
                ],
                "prefix_equals_plain_loop": bool(
                    np.array_equal(prefix, admission.unit_ND[: arguments.prefix])
                ),
                "prefix": arguments.prefix,
            }
        )
    )


if __name__ == "__main__":
    main()
