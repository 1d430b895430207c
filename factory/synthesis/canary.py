"""Draws the canary of a release (shots/canary.py): the first planned batch, padded as always."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict

import numpy as np

from factory.errors import DeviceError, FactoryError, OtherMachine
from factory.execution.device_errors import is_of_the_device
from factory.identities.roster import Roster
from factory.records import Scores, Shot
from factory.shards.writer import Encoding
from factory.shots.canary import Canary, this_machine
from factory.shots.plan import Plan, canonical, first_round_shots

Drawn = list[tuple[Shot, np.ndarray, Scores]]
Draw = Callable[[list[Shot]], Drawn]
"""Images of a planned batch with their scores, as a maker draws them."""
Unrounded = Callable[[list[Shot]], dict[str, np.ndarray]]
"""Float values by name that images and scores of a planned batch are rounded from."""


def draw_canary(plan: Plan, roster: Roster, draw: Draw, unrounded: Unrounded) -> Canary:
    """Digests of the images, encoded images and scores of the first batch of the first unit.

    On a CPU, where every byte is promised, also of the floats that they are rounded from: rounding
    can hide in one batch what shows in the next. On a GPU a last bit that varies is no difference.
    Shots that raise are left out, as a maker would quarantine them. Raises DeviceError where the
    device fails.
    """
    shots, device = canary_shots(plan, roster), plan.request.compute.device
    drawn = drawn_or_alone(shots, draw)
    encoding = Encoding.of(plan.request)
    digests = {
        "images": _digest((shot.key, image_HWC.tobytes()) for shot, image_HWC, _ in drawn),
        "encoded": _digest(
            (shot.key, encoding.encode(image_HWC, shot.prompt)) for shot, image_HWC, _ in drawn
        ),
        "scores": _digest((shot.key, canonical(asdict(scores))) for shot, _, scores in drawn),
    }
    if device == "cpu" and len(drawn) == len(shots) > 0:
        values = unrounded(shots)
        digests |= {name: _digest([(name, values[name].tobytes())]) for name in sorted(values)}
    return Canary(digests, this_machine(device))


def canary_shots(plan: Plan, roster: Roster) -> list[Shot]:
    """The first batch of the first unit that has shots; none in a plan without shots."""
    for unit in plan.units:
        if unit.num_shots:
            shots = first_round_shots(plan.request, unit, roster)
            return shots[: plan.request.batch_size(0)]
    return []


def refuse(difference: str | None) -> None:
    """Raise OtherMachine for a difference from the plan."""
    if difference:
        raise OtherMachine(f"this maker is not as planned ({difference}); bytes would differ")


def drawn_or_alone(shots: list[Shot], draw: Draw) -> Drawn:
    """Those of a planned batch that can be drawn; raises DeviceError where the device fails."""
    try:
        return draw(shots) if shots else []
    except (FactoryError, MemoryError, OSError):
        raise
    except Exception as error:  # because a shot that cannot be drawn is no fault of the machine
        if is_of_the_device(error):
            raise DeviceError(f"device: {error!r} at {shots[0].key}") from error
    return [one for shot in shots for one in drawn_or_alone([shot], draw)] if len(shots) > 1 else []


def _digest(parts: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for key, content in parts:
        digest.update(f"{key} {len(content)}\n".encode() + content)
    return digest.hexdigest()
