"""A canary: one batch that is drawn when a plan is written, and again by everybody who opens it.

Its digests say whether a machine makes the planned bytes. What a machine says of itself does not:
the same kernels run on many CPUs, and an environment variable changes them unseen. That is kept for
the reader, and to tell what may be the cause where digests differ.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

VARIABLES = re.compile(
    r"(?!\w+(_NUM_THREADS|VERBOSE)$)(ONEDNN|DNNL|MKL|CUBLAS|CUDNN|TORCH_CUDNN|OPENBLAS|NPY)_\w+|NVIDIA_TF32_OVERRIDE"
    r"|TORCH_ALLOW_TF32_CUBLAS_OVERRIDE|ATEN_CPU_CAPABILITY|OPENCV_(CPU_DISABLE|IPP)"
)
"""Environment variables that choose kernels; numbers of threads are the plan's."""
CPU_INFO = Path("/proc/cpuinfo")
GPU_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Machine:
    """What a machine says of itself."""

    cpu: str
    """Architecture and model."""
    cpu_flags: tuple[str, ...]
    """Sorted; none where the system does not list them."""
    gpu: dict[str, str]
    """Name, capability, multiprocessors, CUDA, cuDNN and driver; empty without a GPU in use."""
    variables: dict[str, str]
    """Environment variables that choose kernels, where set."""

    def differences(self, here: Machine) -> list[str]:
        """In what another machine (`here`) differs from this planned one, likely causes first."""
        lines = []
        for prefix, planned, found in (
            ("", self.variables, here.variables),
            ("gpu.", self.gpu, here.gpu),
        ):
            for name in sorted({*planned, *found}):
                if planned.get(name) != found.get(name):
                    lines.append(_differing(prefix + name, found.get(name), planned.get(name)))
        if self.cpu != here.cpu:
            lines.append(_differing("cpu", here.cpu, self.cpu))
        for verb, names in (
            ("lacks", {*self.cpu_flags} - {*here.cpu_flags}),
            ("adds", {*here.cpu_flags} - {*self.cpu_flags}),
        ):
            if names:
                lines.append(f"cpu_flags: this machine {verb} {' '.join(sorted(names)[:5])}")
        return lines


@dataclass(frozen=True)
class Canary:
    """Digests of what a machine made of the canary's batch, and the machine that did."""

    digests: dict[str, str]
    """sha256 by what was compared."""
    machine: Machine

    def difference(self, here: Canary) -> str | None:
        """In what the canary of this process (`here`) differs from this planned one, or None."""
        others = [name for name, digest in self.digests.items() if here.digests.get(name) != digest]
        if not others:
            return None
        causes = self.machine.differences(here.machine)[:3]
        known = "; ".join(causes) or "the two say the same of themselves"
        return f"canary: other {', '.join(others)} than planned; {known}"

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON."""
        body = asdict(self)
        body["machine"]["cpu_flags"] = list(self.machine.cpu_flags)
        return body

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Canary:
        """The canary in a plan.json."""
        machine = body["machine"] | {"cpu_flags": tuple(body["machine"]["cpu_flags"])}
        return cls(dict(body["digests"]), Machine(**machine))


def this_machine(device: str) -> Machine:
    """The machine of this process; `device` is the planned kind, "cpu" or "cuda"."""
    model, flags = _cpu()
    variables = {name: value for name, value in os.environ.items() if VARIABLES.fullmatch(name)}
    return Machine(
        cpu=f"{platform.machine()} {model}".strip(),
        cpu_flags=flags,
        gpu=_gpu() if device == "cuda" else {},
        variables=dict(sorted(variables.items())),
    )


@lru_cache(1)
def _cpu() -> tuple[str, tuple[str, ...]]:
    """(model, flags) of the first CPU that the system lists."""
    listed = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    facts: dict[str, str] = dict(
        re.findall(r"^(\S[^\t:\n]*?)\s*:[ \t]*(.*)$", listed.partition("\n\n")[0], re.M)
    )
    flags = facts.get("flags", facts.get("Features", ""))
    return facts.get("model name", ""), tuple(sorted(set(flags.split())))


def _gpu() -> dict[str, str]:
    import torch

    if not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    driver = re.search(r"\b\d+\.\d+(\.\d+)?\b", GPU_DRIVER.read_text()) if _has_driver() else None
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "num_multiprocessors": str(properties.multi_processor_count),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": driver[0] if driver else "",
    }


def _has_driver() -> bool:
    return os.access(GPU_DRIVER, os.R_OK)


def _differing(name: str, here: str | None, planned: str | None) -> str:
    said, meant = ("not set" if value is None else repr(value) for value in (here, planned))
    return f"{name}: {said} here, {meant} in the plan"
