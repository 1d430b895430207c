"""The ways of making faces, by release.method.

Each is what it checks, what it adds to the request of a plan, and how its generator is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from factory.config import Config
from factory.identities.roster import Roster
from factory.shots.plan import Plan
from factory.shots.request import MethodRequest
from factory.sources import FaceSource
from factory.synthesis import diffusion_loading, editor_loading, lora_loading, render_loading
from factory.synthesis.generators import Generator
from factory.synthesis.networks import Networks

Load = Callable[[Config, Plan, Roster, torch.device, dict[str, str]], Generator]


@dataclass(frozen=True)
class Method:
    """What a release.method is: its check, its part of the request, its generator."""

    check: Callable[[Config, Networks], None]
    """Find its networks and check that they fit each other and the config; raises FactoryError."""
    request: Callable[[Config, FaceSource, Networks], MethodRequest]
    """What it adds to the request of a plan, after checking the source; raises FactoryError."""
    load: Load
    """The generator of a plan; the sha256 of all that it opens is added to the dictionary."""
    has_recognizer: bool = True
    """Whether recognizer.checkpoint conditions it and scores what it draws. Else that recognizer
    only measures the finished release, and may be any."""


METHODS = {
    "diffusion": Method(diffusion_loading.check, diffusion_loading.request, diffusion_loading.load),
    "lora": Method(lora_loading.check, lora_loading.request, lora_loading.load),
    "edit": Method(editor_loading.check, editor_loading.request, editor_loading.load),
    "render": Method(
        render_loading.check, render_loading.request, render_loading.load, has_recognizer=False
    ),
}
