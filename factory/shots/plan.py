"""The plan: everything that decides the bytes of a release, its roster, units and shots.

`request` is what was asked for (settings, weights, sources, software); the plan adds the roster's
digest and the unit table. Its hash covers only what changes bytes, never fleet, store or paths.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from factory.errors import PlanError
from factory.records import Identity, Shot, Unit
from factory.seeds import stream_seed
from factory.shots.edits import Edit, edit_of
from factory.shots.prompts import prompt_of
from factory.sources.pose import draw_pose

if TYPE_CHECKING:
    from factory.identities.roster import Roster


NO_EDIT = Edit("", "", None, "")
LEAST_TURN_COS = 0.6
"""Cosine of the widest turn of a condition (IDperturb)."""


@dataclass(frozen=True)
class Plan:
    """plan.json: the request, the roster's digests and the units."""

    request: dict[str, Any]
    roster_sha256: dict[str, str]
    units: list[Unit]

    @property
    def hash(self) -> str:
        body = {"request": self.request, "roster": self.roster_sha256, "units": self._table()}
        return hashlib.sha256(canonical(body)).hexdigest()

    @property
    def num_shots(self) -> int:
        return sum(unit.num_shots for unit in self.units)

    def is_tuned_otherwise(self, other: Plan) -> bool:
        """Whether nothing but plan.micro_batch differs."""
        batch = other.request["plan"]["micro_batch"]
        mine = self.request | {"plan": self.request["plan"] | {"micro_batch": batch}}
        return Plan(mine, self.roster_sha256, self.units).hash == other.hash

    def to_json(self) -> bytes:
        body = {
            "plan_hash": self.hash,
            "request": self.request,
            "roster": self.roster_sha256,
            "units": self._table(),
        }
        return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Raises PlanError when the plan does not have the hash it claims."""
        body = json.loads(data)
        plan = cls(body["request"], body["roster"], [Unit(*row) for row in body["units"]])
        if plan.hash != body["plan_hash"]:
            raise PlanError(
                "plan.json: does not match its own plan_hash; it was edited, restore it"
            )
        return plan

    def _table(self) -> list[list[int]]:
        return [[u.index, u.first_identity, u.num_identities, u.num_shots] for u in self.units]


def first_difference(wanted: Any, found: Any, key: str = "") -> str | None:
    """'a.b: X there, Y asked for' of the first field in which two requests differ, sorted."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            dotted = f"{key}.{name}" if key else name
            difference = first_difference(wanted.get(name), found.get(name), dotted)
            if difference:
                return difference
        return None
    return None if wanted == found else f"{key}: {found!r} there, {wanted!r} asked for"


def cut_units(identities: list[Identity], identities_per_unit: int) -> list[Unit]:
    """Consecutive ranges of identities; the last may be shorter."""
    units = []
    for index, first in enumerate(range(0, len(identities), identities_per_unit)):
        members = identities[first : first + identities_per_unit]
        shots = sum(member.num_shots for member in members)
        units.append(Unit(index, first, len(members), shots))
    return units


def first_round_shots(plan: dict[str, Any], unit: Unit, roster: Roster) -> list[Shot]:
    """Shots of a unit before any top-up, in (identity, image) order, placed in batches."""
    members = roster.identities[unit.first_identity : unit.first_identity + unit.num_identities]
    wanted = [(member.index, image) for member in members for image in range(member.num_shots)]
    return plan_shots(plan, wanted, roster, attempt=0)


def plan_shots(
    plan: dict[str, Any], wanted: list[tuple[int, int]], roster: Roster, attempt: int
) -> list[Shot]:
    """Shots of (identity, image) pairs at an attempt, in full batches of the planned size."""
    sampler, size = plan["sampler"], batch_size(plan, attempt)
    shots = []
    for position, (identity, image) in enumerate(wanted):
        who, stream = roster.identities[identity], (plan["release"]["seed"], identity, image)
        yaw, pitch = _pose(plan, stream, attempt)
        edit = edit_of(plan["editing"], who, stream, attempt) if "editing" in plan else NO_EDIT
        shots.append(
            Shot(
                key=f"{identity:06d}_{image:04d}",
                identity=identity,
                image=image,
                attempt=attempt,
                seed=stream_seed(*stream, "noise", attempt),
                sampler=sampler["kind"],
                num_steps=sampler["num_steps"],
                guidance=sampler["guidance"],
                batch=position // size,
                slot=position % size,
                spacing=sampler["spacing"],
                guidance_from=sampler["guidance_from"],
                guidance_to=sampler["guidance_to"],
                away={"nearest": who.nearest_other, "itself": identity}.get(sampler["away"], -1),
                turn_cos=_turn_cos(sampler, who, stream, attempt),
                similarity=_similarity(sampler, stream, attempt),
                yaw=yaw,
                pitch=pitch,
                prompt=_prompt(plan, who, stream, attempt, edit),
                original=edit.original,
                edit=edit.kind,
                occlusion=edit.share,
            )
        )
    return shots


def _prompt(
    plan: dict[str, Any], who: Identity, stream: tuple[int, int, int], attempt: int, edit: Edit
) -> str:
    return prompt_of(plan["booth"], who, stream, attempt) if "booth" in plan else edit.prompt


def _turn_cos(
    sampler: dict[str, Any], who: Identity, stream: tuple[int, int, int], attempt: int
) -> float:
    """cos(th) ~ U[lb, 1] with lb = max(.6, cos(angle to the nearest / 2)) (IDperturb); the nearest
    is another identity or, because no gate sees what a turn leads to, a real person."""
    if not sampler["turn"]:
        return 1.0
    nearest = max(who.nearest_other_cosine, who.nearest_real_cosine)
    lowest = max(LEAST_TURN_COS, math.sqrt((1 + nearest) / 2))
    drawn = np.random.Generator(np.random.Philox(stream_seed(*stream, "turn", attempt))).random()
    return round(lowest + (1 - lowest) * float(drawn), 6)


def _similarity(
    sampler: dict[str, Any], stream: tuple[int, int, int], attempt: int
) -> float | None:
    values = sampler["similarity"]
    if not values:
        return None
    return float(values[stream_seed(*stream, "similarity", attempt) % len(values)])


def _pose(
    plan: dict[str, Any], stream: tuple[int, int, int], attempt: int
) -> tuple[float | None, float | None]:
    """Yaw and pitch: from the lists where given, else as often as in what the generator learned."""
    if "pose" not in plan:
        return None, None
    rng = np.random.Generator(np.random.Philox(stream_seed(*stream, "pose", attempt)))
    yaw, pitch = draw_pose(plan["pose"]["bins"], rng)
    asked = plan["sampler"]
    yaw = float(asked["yaw"][rng.integers(len(asked["yaw"]))]) if asked["yaw"] else yaw
    pitch = float(asked["pitch"][rng.integers(len(asked["pitch"]))]) if asked["pitch"] else pitch
    return yaw, pitch


def batch_size(plan: dict[str, Any], attempt: int) -> int:
    """Slots of every batch of a round: plan.micro_batch, then plan.topup_batch."""
    shape = plan["plan"]
    return int(shape["topup_batch"] or shape["micro_batch"]) if attempt else shape["micro_batch"]


def canonical(value: Any) -> bytes:
    """The one JSON spelling of a value, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
