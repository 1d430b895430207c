"""The plan: everything that decides the bytes of a release, its roster, units and shots.

`request` is what was asked for (settings, weights, sources, software); the plan adds the roster's
digest, the unit table and the canary (canary.py). Its hash covers only what changes bytes or tells
of them, never fleet, store or paths.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from factory.config import SamplerConfig, as_dict
from factory.errors import PlanError
from factory.identities.people import People
from factory.identities.rendered_people import rendered_numbers
from factory.records import Identity, Shot, Unit
from factory.rendering.numbers import view_seed
from factory.seeds import stream_seed
from factory.shots.canary import Canary
from factory.shots.edits import Edit, edit_of
from factory.shots.mixed_batches import family_of, parents_of
from factory.shots.older_plans import with_present_names, with_present_values
from factory.shots.prompts import prompt_of
from factory.shots.request import LoraRequest, PlanRequest
from factory.sources.pose import draw_pose

if TYPE_CHECKING:
    from factory.identities.roster import Roster


FORMAT = 3
"""Of plan.json; plans without a format are older, see older_plans.py."""
MAX_UNITS = 10**6
"""Names of a unit's files hold six digits."""
WITHOUT_CANARY = 2
"""The format before plans had a canary; else it is the same."""
NO_EDIT = Edit("", "", None, "")
MAX_IMAGES = 10_000
"""Images of an identity: keys hold four digits."""
BLOCK = 4096
"""Identities whose vectors are compared at once."""
LEAST_PERTURBATION_COS = 0.6
"""Cosine of the widest turn of a condition (IDperturb)."""
Stream = tuple[int, int, int]
"""(seed of the release, identity, image): what every random number of a shot is drawn from."""


@dataclass(frozen=True)
class Ancestor:
    """A sealed version that another one was derived from."""

    version: str
    plan_hash: str
    sums_sha256: str
    """Of its SHA256SUMS."""


@dataclass(frozen=True)
class Derived:
    """How a release came to be that was not drawn but made of sealed ones, and of which."""

    kind: str
    """withdrawal: without people who withdrew; union: several versions as one; compact: the same
    faces in other shards."""
    of: tuple[Ancestor, ...]

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Derived:
        return cls(body["kind"], tuple(Ancestor(**one) for one in body["of"]))


@dataclass(frozen=True)
class PrivateDigests:
    """sha256 of what makers need of a release's real people, which is no part of the release."""

    people: str
    """Of their labels, prototypes and the keys of their images."""
    vectors: str
    """Of their vectors, which are rounded otherwise on other machines."""


@dataclass(frozen=True)
class UnitPlan:
    """plan.json: what was asked for, digests of what was decided, and the units."""

    request: PlanRequest | LoraRequest
    roster_sha256: dict[str, str]
    units: list[Unit]
    canary: Canary | None = None
    """What the machine that planned made of the first batch; None in plans of older factories."""
    derived: Derived | None = None
    """None of a release whose faces were drawn for it."""
    private: PrivateDigests | None = None
    """None where nobody real is drawn, and in plans of factories that published their vectors."""
    recorded_hash: str = field(default="", compare=False)
    """That of a plan.json which was read: its bytes were spelled by the factory that wrote it."""

    @cached_property
    def hash(self) -> str:
        return self.recorded_hash or hashlib.sha256(canonical(self._body())).hexdigest()

    @property
    def num_shots(self) -> int:
        return sum(unit.num_shots for unit in self.units)

    @property
    def first_identity(self) -> int:
        """Index of the first identity: 0, or one past the last of the versions it extends."""
        return self.units[0].first_identity if self.units else 0

    @property
    def next_identity(self) -> int:
        """One past the index of the last identity."""
        return max((unit.first_identity + unit.num_identities for unit in self.units), default=0)

    @property
    def next_unit(self) -> int:
        """One past the index of the last unit."""
        return max((unit.index for unit in self.units), default=-1) + 1

    def unit(self, index: int) -> Unit:
        """A unit by its index; raises PlanError for one that is not planned."""
        row = index - self.units[0].index if self.units else -1
        if not 0 <= row < len(self.units) or self.units[row].index != index:
            raise PlanError(f"plan.json: has no unit {index}; use the plan that it belongs to")
        return self.units[row]

    def to_json(self) -> bytes:
        body = self._body() | {"plan_hash": self.hash}
        return (json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    def _body(self) -> dict[str, Any]:
        table = [[u.index, u.first_identity, u.num_identities, u.num_shots] for u in self.units]
        from_where = {"first_identity": self.first_identity} if self.first_identity else {}
        return {
            "format": FORMAT,
            "request": self.request.to_dict(),
            "roster": self.roster_sha256,
            "units": table,
            **from_where,
            **({"derived": as_dict(self.derived)} if self.derived else {}),
            **({"private": as_dict(self.private)} if self.private else {}),
            "canary": self.canary.to_dict() if self.canary else None,
        }


@dataclass(frozen=True)
class Plan(UnitPlan):
    """The plan of a release."""

    request: PlanRequest

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """The plan that a plan.json holds; raises PlanError for another hash than it claims."""
        request, roster, units, canary, derived, private, recorded = _checked(data)
        return cls(
            PlanRequest.from_dict(request), roster, units, canary, derived, private, recorded
        )


@dataclass(frozen=True)
class LoraPlan(UnitPlan):
    """The plan of a set of LoRAs, one unit for each person."""

    request: LoraRequest

    @classmethod
    def from_json(cls, data: bytes) -> LoraPlan:
        """The plan that a plan.json holds; raises PlanError for another hash than it claims."""
        request, roster, units, canary, derived, private, recorded = _checked(data)
        return cls(
            LoraRequest.from_dict(request), roster, units, canary, derived, private, recorded
        )


def _checked(
    data: bytes,
) -> tuple[
    dict[str, Any],
    dict[str, str],
    list[Unit],
    Canary | None,
    Derived | None,
    PrivateDigests | None,
    str,
]:
    """The parts of a plan.json and its hash, its request under present names."""
    body = json.loads(data)
    claimed = body.pop("plan_hash")
    if hashlib.sha256(canonical(body)).hexdigest() != claimed:
        raise PlanError("plan.json: does not match its own plan_hash; it was edited, restore it")
    units = [Unit(*row) for row in body["units"]]
    first, begins = body.get("first_identity", 0), units[0].first_identity if units else 0
    if first != begins:
        raise PlanError(
            f"plan.json: first_identity is {first}, its units begin at {begins}; restore it"
        )
    canary = Canary.from_dict(body["canary"]) if body.get("canary") else None
    derived = Derived.from_dict(body["derived"]) if body.get("derived") else None
    private = PrivateDigests(**body["private"]) if body.get("private") else None
    if body.get("format") in (WITHOUT_CANARY, FORMAT):
        request = with_present_values(body["request"])
        return request, body["roster"], units, canary, derived, private, claimed
    if "format" in body:
        raise PlanError(
            f"plan.json: has format {body['format']}, this factory knows {FORMAT}; use a newer one"
        )
    return with_present_names(body["request"]), body["roster"], units, None, None, None, claimed


def first_difference(wanted: Any, actual: Any, key: str = "") -> str | None:
    """'a.b: X there, Y asked for' of the first field in which two requests differ, sorted."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        for name in sorted({*wanted, *actual}):
            dotted = f"{key}.{name}" if key else name
            difference = first_difference(wanted.get(name), actual.get(name), dotted)
            if difference:
                return difference
        return None
    return None if wanted == actual else f"{key}: {actual!r} there, {wanted!r} asked for"


def asked_otherwise(
    asked: PlanRequest | LoraRequest, planned: PlanRequest | LoraRequest
) -> str | None:
    """First difference of what is asked for from what was planned, as `first_difference` says it.

    What only the machine that planned could tell is left out: software, CPU, the device of
    compute.device=auto, a micro-batch that was tried out. Makers check those (canary.py).
    """
    asked_body, planned_body = asked.to_dict(), planned.to_dict()
    for body in (asked_body, planned_body):
        del body["environment"]
    if asked.compute.device == "auto":
        asked_body["compute"]["device"] = planned.compute.device
    if isinstance(asked, PlanRequest) and asked.plan.micro_batch is None:
        asked_body["plan"]["micro_batch"] = planned_body["plan"]["micro_batch"]
    return first_difference(asked_body, planned_body)


def cut_units(
    identities: Sequence[Identity], identities_per_unit: int, first_unit: int = 0
) -> list[Unit]:
    """Consecutive ranges of identities; the last may be shorter.

    Their indices follow each other from `first_unit` on. Raises PlanError as `check_unit_numbers`.
    """
    check_unit_numbers(first_unit, len(identities), identities_per_unit)
    people = People.of(identities)
    index_N, num_shots_N = people.column("index"), people.column("num_shots")
    units = []
    starts = range(0, len(people), identities_per_unit)
    for index, start in enumerate(starts, start=first_unit):
        shots_M = num_shots_N[start : start + identities_per_unit]
        units.append(Unit(index, int(index_N[start]), len(shots_M), int(shots_M.sum())))
    return units


def check_unit_numbers(first_unit: int, num_identities: int, identities_per_unit: int) -> None:
    """Raise PlanError where the last of the units would have a number of seven digits."""
    last = first_unit + math.ceil(num_identities / identities_per_unit) - 1
    if last >= MAX_UNITS:
        raise PlanError(
            f"plan.identities_per_unit: got {identities_per_unit}, so units would be numbered "
            f"{first_unit} to {last}; want more identities a unit, because names of files hold "
            f"numbers below {MAX_UNITS}"
        )


def first_round_shots(request: PlanRequest, unit: Unit, roster: Roster) -> list[Shot]:
    """Shots of a unit before any top-up, in (identity, image) order, placed in batches."""
    wanted = [
        (member.index, image)
        for member in members(unit, roster)
        for image in range(member.num_shots)
    ]
    return plan_shots(request, wanted, roster, attempt=0)


def members(unit: Unit, roster: Roster) -> list[Identity]:
    """The identities of a unit in their order, reserves last."""
    stop = unit.first_identity + unit.num_identities
    return [roster.person(index) for index in range(unit.first_identity, stop)]


def plan_shots(
    request: PlanRequest, wanted: list[tuple[int, int]], roster: Roster, attempt: int
) -> list[Shot]:
    """Shots of (identity, image) pairs at an attempt, in full batches of the planned size."""
    if request.rendering:
        return _rendered_shots(request, wanted, roster, attempt)
    sampler, size = request.sampler, request.batch_size(attempt)
    begin, end = sampler.guidance_interval
    negative_from, negative_to = sampler.negative_ramp
    farthest = _farthest(sampler, roster, {index for index, _ in wanted})
    digits = roster.key_digits
    shots = []
    for position, (index, image) in enumerate(wanted):
        identity, stream = roster.person(index), (request.release.seed, index, image)
        yaw, pitch = _pose(request, stream, attempt)
        edit = _edit(request, identity, stream, attempt)
        first_parent, second_parent, mix_weight = parents_of(identity)
        copied = bool(edit.original) and not edit.kind
        shots.append(
            Shot(
                key=f"{index:0{digits}d}_{image:04d}",
                identity=index,
                image=image,
                attempt=attempt,
                seed=stream_seed(*stream, "noise", attempt),
                sampler=sampler.kind,
                num_steps=sampler.num_steps,
                guidance=request.guidance,
                batch=position // size,
                slot=position % size,
                timestep_spacing=sampler.timestep_spacing,
                guidance_from=begin,
                guidance_to=end,
                negative_identity=_negative_identity(
                    sampler, identity, farthest, _others(roster), (*stream, attempt)
                ),
                negative_from=negative_from,
                negative_to=negative_to,
                perturbation_cos=_perturbation_cos(
                    sampler, family_of(identity, roster), stream, attempt
                ),
                similarity=None if copied else _similarity(sampler, stream, attempt),
                yaw=yaw,
                pitch=pitch,
                prompt=_prompt(request, identity, stream, attempt, edit),
                original=edit.original,
                edit=edit.kind,
                occlusion=edit.fraction,
                first_parent=first_parent,
                second_parent=second_parent,
                mix_weight=mix_weight,
            )
        )
    return shots


def _edit(request: PlanRequest, identity: Identity, stream: Stream, attempt: int) -> Edit:
    """What a shot does to an image that exists: it edits it, copies it, or there is none."""
    if request.edits:
        return edit_of(request.edits.editing, identity, stream, attempt)
    is_first = attempt % request.plan.max_rounds == 0  # of its group of people
    copies = request.identities.inquiry_copies if identity.kind == "virtual" else 0
    if is_first and stream[2] < copies:
        return Edit(identity.originals[0], "", None, "")
    return NO_EDIT


def view_number(image: int, attempt: int) -> int:
    """Number of a rendered person's image: each attempt at an image is another one of them."""
    return image + attempt * MAX_IMAGES


def _rendered_shots(
    request: PlanRequest, wanted: list[tuple[int, int]], roster: Roster, attempt: int
) -> list[Shot]:
    """Shots of people who are rendered by their numbers; the seed is that of the image's view."""
    assert request.rendering is not None
    rendering, size = request.rendering.rendering, request.batch_size(attempt)
    digits, person_N = roster.key_digits, rendered_numbers(roster.people, rendering.first_person)
    return [
        Shot(
            key=f"{index:0{digits}d}_{image:04d}",
            identity=index,
            image=image,
            attempt=attempt,
            seed=view_seed(
                rendering,
                int(person_N[index - roster.first_identity]),
                view_number(image, attempt),
            ),
            sampler="path",
            num_steps=rendering.samples,
            guidance=1.0,
            batch=position // size,
            slot=position % size,
            timestep_spacing="",
        )
        for position, (index, image) in enumerate(wanted)
    ]


def _negative_identity(
    sampler: SamplerConfig,
    identity: Identity,
    farthest: dict[int, int],
    others: range,
    stream: tuple[int, ...],
) -> int:
    """Index of whom guidance leads away from; -1: nobody."""
    if sampler.negative_condition == "nearest_identity":
        return identity.nearest_other
    if sampler.negative_condition == "farthest_identity":
        return farthest[identity.index]
    if sampler.negative_condition == "random_identity":
        return _any_other(identity.index, others, stream)
    return identity.index if sampler.negative_condition == "same_identity" else -1


def _others(roster: Roster) -> range:
    """Indices of all who are not real; real people come last."""
    return range(roster.first_identity, roster.first_identity + roster.num_public)


def _any_other(index: int, others: range, stream: tuple[int, ...]) -> int:
    """One of the others, each as likely; -1 where there is none."""
    num_others = len(others) - (index in others)
    if not num_others:
        return -1
    drawn = others.start + stream_seed(*stream, "negative") % num_others
    return drawn + (index in others and drawn >= index)


def _farthest(sampler: SamplerConfig, roster: Roster, wanted: set[int]) -> dict[int, int]:
    """Who is farthest from each of some identities, of all who are not real; the first of equals.

    -1 where there is nobody else. Exact in float64, in blocks of the roster.
    """
    if sampler.negative_condition != "farthest_identity":
        return {}
    indices, others = sorted(wanted), _others(roster)
    unit_MD = roster.unit_ND[[roster.row(index) for index in indices]].astype(np.float64)
    least_M, found_M = np.full(len(indices), np.inf), np.full(len(indices), -1)
    for start in range(0, len(others), BLOCK):
        index_B = np.arange(others.start, others.stop)[start : start + BLOCK]
        cosine_MB = unit_MD @ roster.unit_ND[index_B - others.start].astype(np.float64).T
        cosine_MB[np.array(indices)[:, None] == index_B] = np.inf  # nobody is led from itself
        nearer_M = cosine_MB.min(1) < least_M
        least_M[nearer_M] = cosine_MB.min(1)[nearer_M]
        found_M[nearer_M] = index_B[cosine_MB.argmin(1)[nearer_M]]
    return dict(zip(indices, found_M.tolist(), strict=True))


def _prompt(
    request: PlanRequest, identity: Identity, stream: Stream, attempt: int, edit: Edit
) -> str:
    return prompt_of(request.prompts, identity, stream, attempt) if request.prompts else edit.prompt


def _perturbation_cos(
    sampler: SamplerConfig, family: list[Identity], stream: Stream, attempt: int
) -> float:
    """Cosine of a random turn, cos(th) ~ U[lb, 1] with lb = max(.6, cos(angle / 2)) (IDperturb).

    The angle is that to the nearest other identity or, because no gate sees what a turn leads to,
    to the nearest real person; of a mix, the smallest of its own and its parents'.
    """
    if not sampler.perturb_identity:
        return 1.0
    nearest = max(max(one.nearest_other_cosine, one.nearest_real_cosine) for one in family)
    lowest = max(LEAST_PERTURBATION_COS, math.sqrt((1 + nearest) / 2))
    drawn = np.random.Generator(np.random.Philox(stream_seed(*stream, "turn", attempt))).random()
    return round(lowest + (1 - lowest) * float(drawn), 6)


def _similarity(sampler: SamplerConfig, stream: Stream, attempt: int) -> float | None:
    values = sampler.similarity
    if not values:
        return None
    return float(values[stream_seed(*stream, "similarity", attempt) % len(values)])


def _pose(request: PlanRequest, stream: Stream, attempt: int) -> tuple[float | None, float | None]:
    """Yaw and pitch: from the lists where given, else as often as in what the generator learned."""
    if request.pose is None:
        return None, None
    rng = np.random.Generator(np.random.Philox(stream_seed(*stream, "pose", attempt)))
    yaw, pitch = draw_pose(request.pose.bins, rng)
    yaws, pitches = request.sampler.yaw, request.sampler.pitch
    yaw = float(yaws[rng.integers(len(yaws))]) if yaws else yaw
    pitch = float(pitches[rng.integers(len(pitches))]) if pitches else pitch
    return yaw, pitch


def canonical(value: Any) -> bytes:
    """The one JSON spelling of a value, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
