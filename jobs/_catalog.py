"""All jobs in the order of their use, and what a job that there is not was meant to be."""

from __future__ import annotations

import difflib
import importlib

from factory.errors import ConfigError
from jobs._job import Job

GROUPS = {
    "make": ("plan", "release", "pipeline", "submit", "union", "compact"),
    "train": (
        *("train_recognizer", "train_prototypes", "train_autoencoder", "train_generator"),
        *("train_turns", "distill"),
        *("train_base", "personalize", "train_inpainting", "train_controlnet"),
        *("import_recognizer", "pack_weights"),
    ),
    "check": (
        *("inspect", "verify", "audit", "reproduce", "sign", "ours", "verify_recognizer"),
        *("identify", "measure_network"),
    ),
    "measure": (
        "evaluate",
        "benchmark",
        "utility",
        "attack",
        "claim",
        "compare_proposals",
        "compare_personalization",
        "compare_edits",
    ),
    "operate": (
        "config",
        "status",
        "pause",
        "resume",
        "gc",
        "forget",
        "export",
        "push",
        "export_recognizer",
        "embed",
    ),
}
RENAMED = {
    "finetune_booth": "personalize",
    "compare_booth": "compare_personalization",
    "train_text_to_image": "train_base",
    "train_editor": "train_inpainting",
    "adopt_recognizer": "import_recognizer",
}


def find(name: str) -> Job:
    """The job of a name; raises ConfigError with the name that was probably meant."""
    names = [job for group in GROUPS.values() for job in group]
    if name in names:
        job = importlib.import_module(f"jobs.{name}").JOB
        assert isinstance(job, Job)
        return job
    if name in RENAMED:
        raise ConfigError(f"{name}: renamed to {RENAMED[name]}")
    close = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {close[0]}?" if close else "`python -m jobs` lists all"
    raise ConfigError(f"{name}: no such job; {hint}")
