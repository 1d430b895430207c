"""release.method=render: people by number, for whom no network is asked."""

from __future__ import annotations

import torch

from factory.config import Config
from factory.errors import IntegrityError
from factory.identities.rendered_people import rendered_numbers
from factory.identities.roster import Roster
from factory.records import row_of
from factory.rendering.numbers import assets_sha256, mitsuba_version
from factory.rendering.renderer import Renderer
from factory.rendering.scene.scene import use_threads
from factory.shots.plan import Plan
from factory.shots.request import MethodRequest, RenderRequest
from factory.sources import FaceSource
from factory.synthesis.generators import Generator
from factory.synthesis.networks import Networks
from factory.synthesis.render_generator import RenderGenerator, Renders


def check(config: Config, networks: Networks) -> None:
    """Nothing: it has no network. Raises ConfigError where the renderer is not installed."""
    mitsuba_version()


def request(config: Config, source: FaceSource, networks: Networks) -> MethodRequest:
    """How people are rendered, and by what."""
    return MethodRequest(
        rendering=RenderRequest(config.rendering, assets_sha256(), mitsuba_version())
    )


def load(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """The renderer of a plan; raises IntegrityError for another head model or Mitsuba."""
    planned = plan.request.rendering
    assert planned is not None, "a plan of this method says how people are rendered"
    here = (assets_sha256(), mitsuba_version())
    if here != (planned.assets, planned.mitsuba):
        raise IntegrityError(
            f"rendering: has mitsuba {here[1]} and a head model of sha256 {here[0][:12]}, the "
            f"release was planned with {planned.mitsuba} and {planned.assets[:12]}; use those"
        )
    numbers_N = rendered_numbers(roster.people, planned.rendering.first_person)
    image_px = plan.request.source.image_px

    def person_of(identity: int) -> int:
        return int(numbers_N[row_of(identity, roster.first_identity, len(numbers_N))])

    def opened() -> Renders:
        use_threads(plan.request.plan.num_threads)
        return Renderer(planned.rendering, image_px, config.source.zoom)

    return RenderGenerator(planned.rendering, person_of, opened, image_px)
