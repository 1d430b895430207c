"""Plans: hash, batches and slots, refusal of edits, rosters with real people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from factory.errors import PlanError
from factory.identities.roster import Roster
from factory.identities.roster_building import build_roster, class_centers
from factory.planning.preflight import preflight
from factory.recognition.embed import Recognizer
from factory.shots.canary import Canary, this_machine
from factory.shots.plan import (
    Plan,
    asked_otherwise,
    canonical,
    cut_units,
    first_difference,
    first_round_shots,
    plan_shots,
    view_number,
)
from factory.shots.request import ComputeFacts, Environment, PlanRequest
from factory.sources import open_source
from tests.conftest import IMAGES, PEOPLE
from tests.planned import REQUEST, request_with, shots_of, virtual_people


def test_units_never_split_an_identity():
    units = cut_units(virtual_people(2, 2, 2, 5, 1), 2)
    assert [(u.first_identity, u.num_identities, u.num_shots) for u in units] == [
        (0, 2, 4),
        (2, 2, 7),
        (4, 1, 1),
    ]


def test_shots_fill_batches_in_order():
    roster = Roster(virtual_people(2, 3), np.zeros((2, 4), np.float32))
    shots = first_round_shots(REQUEST, cut_units(roster.identities, 2)[0], roster)
    assert [(s.batch, s.slot) for s in shots] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [s.key for s in shots][2:4] == ["000001_0000", "000001_0001"]
    assert len({s.seed for s in shots}) == 5
    again = shots_of(REQUEST, [(1, 0)], 1)[0]
    assert again.key == shots[2].key
    assert again.seed != shots[2].seed


def test_plan_round_trip_and_tampering():
    plan = Plan(REQUEST, {"roster.parquet": "00"}, cut_units(virtual_people(2, 2), 1))
    data = plan.to_json()
    assert Plan.from_json(data) == plan
    with pytest.raises(PlanError, match="plan_hash"):
        Plan.from_json(data.replace(b'"seed": 3', b'"seed": 4'))


def test_a_plan_keeps_its_hash_when_settings_are_added_later():
    """A factory that knows one setting more reads the plan, and its commit records still fit."""
    plan = Plan(REQUEST, {"roster.parquet": "00"}, cut_units(virtual_people(2, 2), 1))
    body = json.loads(plan.to_json())
    del body["request"]["sampler"]["perturb_identity"], body["plan_hash"]
    earlier = hashlib.sha256(canonical(body)).hexdigest()
    read = Plan.from_json(json.dumps(body | {"plan_hash": earlier}).encode())
    assert read.request == plan.request  # the default
    assert read.hash == earlier != plan.hash
    body["request"]["sampler"]["unheard_of"] = 1
    later = json.dumps(body | {"plan_hash": hashlib.sha256(canonical(body)).hexdigest()})
    with pytest.raises(PlanError, match="has no 'unheard_of'"):
        Plan.from_json(later.encode())


def test_a_plan_whose_proposal_was_spelled_otherwise_is_read_and_keeps_its_hash():
    units = cut_units(virtual_people(2, 2), 1)
    plan = Plan(request_with(identities={"proposal": "colored"}), {"roster.parquet": "00"}, units)
    body = json.loads(plan.to_json())
    body["request"]["identities"]["proposal"] = "coloured"
    del body["plan_hash"]
    earlier = hashlib.sha256(canonical(body)).hexdigest()
    read = Plan.from_json(json.dumps(body | {"plan_hash": earlier}).encode())
    assert read.request == plan.request
    assert read.hash == earlier != plan.hash


ASKED = replace(
    REQUEST.with_micro_batch(None),
    compute=ComputeFacts("auto", "fp32"),
    environment=Environment("9" * 64, {"python": "3.12", "cpu_amx": "True"}),
)
"""What a driver asks for that knows no device."""


def test_a_headless_driver_asks_for_the_plan_of_any_machine():
    assert asked_otherwise(ASKED, REQUEST) is None
    on_gpus = replace(REQUEST, compute=ComputeFacts("cuda", "fp32")).with_micro_batch(512)
    assert asked_otherwise(ASKED, on_gpus) is None


def test_a_headless_driver_still_asks_for_what_the_config_says():
    seeded = request_with(release={"seed": 9})
    assert asked_otherwise(ASKED, seeded) == "release.seed: 9 there, 3 asked for"
    bf16 = replace(REQUEST, compute=ComputeFacts("cpu", "bf16"))
    assert asked_otherwise(ASKED, bf16).startswith("compute.precision")
    on_gpus = replace(REQUEST, compute=ComputeFacts("cuda", "fp32"))
    assert asked_otherwise(REQUEST, on_gpus).startswith("compute.device")
    assert asked_otherwise(REQUEST, REQUEST.with_micro_batch(7)).startswith("plan.micro_batch")


def test_a_plan_keeps_its_canary_under_its_hash():
    units = cut_units(virtual_people(2, 2), 1)
    canary = Canary({"images": "ab"}, this_machine("cpu"))
    plan = Plan(REQUEST, {"roster.parquet": "00"}, units, canary)
    data = plan.to_json()
    assert Plan.from_json(data) == plan
    assert plan.hash != Plan(REQUEST, {"roster.parquet": "00"}, units).hash
    with pytest.raises(PlanError, match="plan_hash"):
        Plan.from_json(data.replace(b'"images": "ab"', b'"images": "ac"'))


def test_a_plan_without_a_canary_is_read_with_its_hash():
    body = json.loads(Plan(REQUEST, {}, cut_units(virtual_people(2, 2), 1)).to_json())
    del body["canary"], body["plan_hash"]
    body["format"] = 2
    digest = hashlib.sha256(canonical(body)).hexdigest()
    read = Plan.from_json(json.dumps(body | {"plan_hash": digest}).encode())
    assert (read.canary, read.hash, read.request) == (None, digest, REQUEST)
    body["format"] = 4
    digest = hashlib.sha256(canonical(body)).hexdigest()
    with pytest.raises(PlanError, match="has format 4"):
        Plan.from_json(json.dumps(body | {"plan_hash": digest}).encode())


def test_first_difference_names_the_dotted_field():
    there = {"a": {"b": 1, "c": 2}, "d": 0}
    assert first_difference(there, there) is None
    assert first_difference({"a": {"b": 1, "c": 3}, "d": 9}, there) == "a.c: 2 there, 3 asked for"
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 1, "z": 1}}).startswith("a.z")


def test_roster_round_trip():
    roster = Roster(virtual_people(1, 2), np.eye(2, dtype=np.float32))
    again = Roster.read(roster.parquet(), roster.embeddings())
    assert again.identities == roster.identities
    assert np.array_equal(again.unit_ND, roster.unit_ND)
    assert roster.parquet() == again.parquet()


def test_the_request_leaves_out_what_changes_no_byte(release_config):
    base = preflight(release_config()).request
    same = preflight(release_config("fleet.num_workers=7", "store.min_free_bytes=1")).request
    assert base == same
    other = preflight(release_config("release.seed=1")).request
    assert first_difference(other.to_dict(), base.to_dict()) == "release.seed: 0 there, 1 asked for"


def test_class_centers_are_unit_means(release_config):
    config = release_config()
    recognizer = Recognizer.load(config.recognizer.checkpoint, torch.device("cpu"))
    source = open_source(config.source)
    centers, keys = class_centers(recognizer, source, 0.0)
    assert [len(own) for own in keys] == [IMAGES] * PEOPLE
    assert keys[0][0] == source[0].key
    own = recognizer.embed(np.stack([source[i].image_HWC for i in range(IMAGES)])).mean(0)
    np.testing.assert_allclose(centers[0], own / np.linalg.norm(own), atol=1e-5)


def test_real_people_are_filled_up_and_marked(release_config):
    config = release_config("release.allow_real=true", "plan.fill_to=5", "identities.num_virtual=2")
    recognizer = Recognizer.load(config.recognizer.checkpoint, torch.device("cpu"))
    roster = build_roster(config, recognizer, open_source(config.source), 0.95)
    kinds = [identity.kind for identity in roster.identities]
    assert kinds == ["virtual"] * 2 + ["real"] * PEOPLE
    assert [i.num_shots for i in roster.identities] == [2, 2] + [5 - IMAGES] * PEOPLE
    np.testing.assert_array_equal(roster.unit_ND[2:], recognizer.unit_real)
    assert roster.identities[2].name == "person_0"
    full = dataclasses.replace(config, plan=dataclasses.replace(config.plan, fill_to=IMAGES))
    assert len(build_roster(full, recognizer, open_source(config.source), 0.95).identities) == 2


def test_shots_say_how_their_condition_is_bent():
    whose = [
        {"other": 0.96, "real": 0.1},
        {"other": 0.1, "real": 0.96},
        {"other": -0.9, "real": -0.9},
    ]
    people = [
        dataclasses.replace(
            person,
            nearest_other_cosine=near["other"],
            nearest_real_cosine=near["real"],
            nearest_other=(person.index + 1) % 3,
        )
        for person, near in zip(virtual_people(40, 40, 40), whose, strict=True)
    ]
    roster = Roster(people, np.eye(3, dtype=np.float32))
    bent = request_with(
        sampler={
            "perturb_identity": True,
            "negative_condition": "nearest_identity",
            "similarity": (-0.1, 0.0, 0.1),
        }
    )
    shots = plan_shots(bent, [(person, i) for person in range(3) for i in range(40)], roster, 0)
    assert {s.negative_identity for s in shots[:40]} == {1}
    assert {s.negative_identity for s in shots[40:80]} == {2}
    lowest = (
        np.sqrt(0.98),
        np.sqrt(0.98),
        0.6,
    )  # half the angle to the nearest, real or not, and never a wider turn than .6
    for person, least in enumerate(lowest):
        turns = [s.perturbation_cos for s in shots if s.identity == person]
        assert least <= min(turns) < least + 0.1 * (1 - least)
        assert max(turns) > 1 - 0.1 * (1 - least)
    assert {s.similarity for s in shots} == {-0.1, 0.0, 0.1}
    assert plan_shots(bent, [(2, 5)], roster, 0)[0].perturbation_cos == shots[85].perturbation_cos
    same = request_with(sampler={"negative_condition": "same_identity"})
    assert [s.negative_identity for s in plan_shots(same, [(0, 0), (2, 0)], roster, 0)] == [0, 2]
    plain = plan_shots(REQUEST, [(0, 0)], roster, 0)[0]
    assert (plain.negative_identity, plain.perturbation_cos, plain.similarity) == (-1, 1.0, None)


def test_guidance_acts_in_the_interval_that_was_asked_for():
    roster = Roster(virtual_people(1), np.eye(1, dtype=np.float32))
    late = request_with(sampler={"guidance_interval": (0.25, 0.75)})
    (shot,) = plan_shots(late, [(0, 0)], roster, 0)
    assert (shot.guidance_from, shot.guidance_to) == (0.25, 0.75)


def test_cosines_of_turns_are_uniform_down_to_half_the_angle():
    people = [replace(virtual_people(1)[0], nearest_other_cosine=0.28, nearest_real_cosine=-0.5)]
    roster = Roster(people, np.eye(1, dtype=np.float32))
    bent = request_with(sampler={"perturb_identity": True})
    shots = plan_shots(bent, [(0, image) for image in range(1000)], roster, 0)
    cosines = np.sort([shot.perturbation_cos for shot in shots])
    least = np.cos(np.arccos(0.28) / 2)  # .8
    wanted = least + (1 - least) * (np.arange(1000) + 0.5) / 1000
    np.testing.assert_allclose(cosines, wanted, atol=0.06 * (1 - least))


def test_every_attempt_at_a_rendered_image_is_another_view():
    views = {view_number(image, attempt) for image in (0, 1, 9999) for attempt in (0, 1, 2)}
    assert len(views) == 9
    assert view_number(7, 0) == 7


def test_negatives_are_the_farthest_or_any_other_who_is_not_real(monkeypatch):
    """By brute force, in blocks that cut the roster; real people are led away from nobody real."""
    monkeypatch.setattr("factory.shots.plan.BLOCK", 3)
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((9, 5))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    unit[8] = -unit[0]  # a real person, who would be the farthest from the first
    people = [
        dataclasses.replace(one, index=20 + row, kind="real" if row > 6 else "virtual")
        for row, one in enumerate(virtual_people(*[30] * 9))
    ]
    roster = Roster(people, unit)
    wanted = [(20 + row, image) for row in range(9) for image in range(30)]
    ramp = {"negative_condition": "farthest_identity", "negative_ramp": (0.25, 1.0)}
    shots = plan_shots(request_with(sampler=ramp), wanted, roster, 0)
    for shot in shots:
        row = shot.identity - 20
        cosines = [unit[other] @ unit[row] if other != row else np.inf for other in range(7)]
        assert shot.negative_identity == 20 + int(np.argmin(cosines))
        assert (shot.negative_from, shot.negative_to) == (0.25, 1.0)

    anyone = request_with(sampler={"negative_condition": "random_identity"})
    drawn = plan_shots(anyone, wanted, roster, 0)
    for row in range(9):
        met = [s.negative_identity for s in drawn if s.identity == 20 + row]
        assert {*met} == {*range(20, 27)} - {20 + row}  # everybody, never itself
    again = plan_shots(anyone, wanted[5:6], roster, 0)[0]
    assert again.negative_identity == drawn[5].negative_identity  # whoever else is asked for
    alone = Roster(virtual_people(1), np.eye(1, dtype=np.float32))
    for kind in ("farthest_identity", "random_identity"):
        (shot,) = plan_shots(request_with(sampler={"negative_condition": kind}), [(0, 0)], alone, 0)
        assert shot.negative_identity == -1


def test_a_plan_without_a_ramp_is_that_of_an_older_factory():
    assert "negative_ramp" not in REQUEST.to_dict()["sampler"]
    ramped = request_with(sampler={"negative_ramp": (0.0, 1.0)})
    assert ramped.to_dict()["sampler"]["negative_ramp"] == [0.0, 1.0]
    assert PlanRequest.from_dict(ramped.to_dict()) == ramped
    assert PlanRequest.from_dict(REQUEST.to_dict()) == REQUEST
