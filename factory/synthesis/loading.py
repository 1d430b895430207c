"""Loads a plan and the networks it names, and says in what this machine differs from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from factory.config import Config
from factory.errors import IntegrityError
from factory.identities.roster import Roster
from factory.recognition.embed import Recognizer
from factory.recognition.fiqa import OnnxQuality
from factory.records import Shot
from factory.shards.plan_files import difference_from, open_plan
from factory.shots.fiqa_request import FiqaRequest
from factory.shots.plan import Plan, first_difference
from factory.store import Store
from factory.synthesis.generators import Generator
from factory.synthesis.methods import METHODS
from factory.training.distributed import pick_device


@dataclass(frozen=True)
class LoadedRelease:
    """A plan and the networks that carry it out."""

    plan: Plan
    roster: Roster
    generator: Generator
    recognizer: Recognizer | None
    """None where no recognizer conditions and scores (methods.Method.has_recognizer)."""
    difference: str | None
    """First way in which this software or device is not the plan's, or None; see canary.py."""
    fiqa: OnnxQuality | None = None
    """What tells a face's quality, with filters.min_fiqa."""

    def draw(self, shot: Shot) -> np.ndarray:
        """RGB uint8 [H, W, 3] of one shot, in its planned slot of a full batch."""
        size = self.plan.request.batch_size(shot.attempt)
        return np.asarray(self.generator.generate([shot], size).images_BHWC[shot.slot])

    def sketch(self, shot: Shot) -> np.ndarray:
        """As `draw` gives it but for rounding, at the cost of a batch of one."""
        alone = replace(shot, slot=0)
        return np.asarray(self.generator.generate([alone], 1).images_BHWC[0])


def load_release(config: Config, store: Store, device: torch.device | None = None) -> LoadedRelease:
    """Load the plan in `store` (that of the release) and the weights `config` names.

    Raises IntegrityError when the weights are not the planned ones.
    """
    return load_planned(config, *open_plan(store, config), device)


def load_planned(
    config: Config, plan: Plan, roster: Roster, device: torch.device | None = None
) -> LoadedRelease:
    """The same for a plan that is open; `device` in the place of the one that `config` asks for."""
    torch.set_num_threads(plan.request.plan.num_threads)  # because it decides bytes
    method, planned = config.release.method, plan.request.release.method
    if method != planned:
        raise IntegrityError(
            f"release.method: got {method}, the release was planned with {planned}; use that"
        )
    device = device or pick_device(config.compute)
    recognizer, weights = None, dict[str, str]()
    if METHODS[method].has_recognizer:
        recognizer = Recognizer.load(config.recognizer.checkpoint, device)
        weights = {"recognizer": recognizer.sha256}
    generator = METHODS[method].load(config, plan, roster, device, weights)
    wrong = first_difference(weights, plan.request.weights)
    if wrong:
        raise IntegrityError(f"weights.{wrong}; use the checkpoints the release was planned with")
    fiqa = _load_fiqa(config, plan.request.fiqa, device)
    return LoadedRelease(plan, roster, generator, recognizer, difference_from(plan, device), fiqa)


def _load_fiqa(
    config: Config, planned: FiqaRequest | None, device: torch.device
) -> OnnxQuality | None:
    """The network that a plan asks for quality; raises IntegrityError for another one."""
    if planned is None:
        return None
    found = FiqaRequest.of(config.quality)
    if found != planned:
        raise IntegrityError(
            f"quality.model: {config.quality.model} with channels={found.channels}, pixels="
            f"{found.pixels} is not what the release was planned with; use that network, as "
            f"{planned.channels} and {planned.pixels}"
        )
    return OnnxQuality(config.quality, device)
