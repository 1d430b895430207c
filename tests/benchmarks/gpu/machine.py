"""The card and its peak, the clock, and how operations are timed and counted."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from factory.identities.search import DeviceFacts

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 80GB HBM3": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
}
"""Dense bfloat16 operations a second by NVIDIA's data sheets, by a part of the card's name; the
first that fits counts."""


@dataclass
class Budget:
    """The time that all parts together may take, and whether they rehearse."""

    total_s: float
    small: bool = False
    started: float = field(default_factory=time.perf_counter)

    @property
    def left_s(self) -> float:
        return self.total_s - (time.perf_counter() - self.started)


def peak_of(name: str) -> float | None:
    """Peak operations a second of a card, None where PEAKS does not know it."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def machine(device: torch.device) -> dict[str, Any]:
    """The card, its driver, the software, and what vectors are compared with."""
    figures: dict[str, Any] = {"torch": torch.__version__, "device": device.type}
    figures["search"] = asdict(DeviceFacts.here())
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        figures |= {
            "card": card.name,
            "driver": driver(),
            "capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "memory_bytes": card.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "peak_bf16": peak_of(card.name),
        }
    return figures


def driver() -> str | None:
    """The driver's version, None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()[0].strip()


def median_s(device: torch.device, run: Callable[[], object], repeats: int = 3) -> float:
    """Median seconds of a run, the device idle before and after; one run before warms up."""
    seconds = []
    for _ in range(repeats + 1):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations(run: Callable[[], object]) -> int:
    """Floating-point operations of torch's products and convolutions in a run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def share_of_peak(device: torch.device, num_operations: float, seconds: float) -> float | None:
    """Fraction of the card's peak, None for a device without one."""
    if device.type != "cuda":
        return None
    peak = peak_of(torch.cuda.get_device_name(device))
    return None if peak is None else round(num_operations / seconds / peak, 5)


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes that tensors took at most since `reset_peak`, None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
