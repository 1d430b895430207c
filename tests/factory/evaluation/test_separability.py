"""The certificate's figures, and an audit that computes them anew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.evaluation.metrics.separability import RealStrangers
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.separability import audit, false_matches, real_strangers, separability
from factory.identities.roster import Roster
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.recognition.resampled_scores import AllPairs
from factory.recognition.verification import pair_cosines
from factory.records import Identity
from factory.shots.canary import Canary, this_machine
from factory.shots.plan import Plan
from factory.sources import open_source
from factory.store import LocalStore
from tests.factory.identities.test_cosine_tail import sphere_rate
from tests.planned import request_with
from tests.vectors import unit_rows

LIMIT = 0.99999


def person(index: int, real: float, other: float, attempt: int = 0) -> Identity:
    return Identity(index, "virtual", "pca", attempt, real, other, 2)


def test_three_identities_and_nobody():
    people = [person(0, 0.1, 0.2), person(1, 0.3, 0.2, 4), person(2, 0.2, -0.1)]
    request = request_with(identities={"max_cosine": 0.4, "proposal": "prototypes"})
    plan = Plan(request, {}, [])
    measured = separability(plan, Roster(people, np.eye(3)), np.array([0.0, 0.5, 0.39, 0.4]))
    counts = (measured.num_virtual, measured.num_redrawn, measured.max_cosine)
    assert counts == (3, 1, 0.4)
    assert measured.real_strangers == RealStrangers(num_pairs=4, false_match_rate=0.5)
    assert measured.nearest_real.max == 0.3
    assert measured.nearest_other.mean == pytest.approx(0.1)
    assert measured.proposal.smallest_possible_cosine == -0.5
    assert measured.proposal.num_dims == 3
    nobody = separability(plan, Roster([], np.zeros((0, 3))), np.empty(0))
    assert nobody.nearest_real == NotMeasured("n/a: no virtual identity")
    assert nobody.real_strangers.false_match_rate is None
    assert nobody.proposal.nearest_of_random is None


def test_a_proposal_from_few_axes_is_compared_in_their_dimensions():
    people = [person(index, 0.1, 0.2) for index in range(3)]
    plan = Plan(request_with(identities={"proposal": "pca", "pca_dims": 4}), {}, [])
    measured = separability(plan, Roster(people, np.eye(3, 16)), np.empty(0))
    assert measured.proposal.num_dims == 5  # a mean and four axes


def strangers(seed: int, dim: int = 24, people: int = 700) -> np.ndarray:
    """Cosines of all pairs of random directions."""
    unit_ND = unit_rows(seed, people, dim)
    return (unit_ND @ unit_ND.T)[np.triu_indices(people, 1)].astype(np.float64)


def test_false_matches_are_those_of_a_sphere_far_below_one_pair():
    """At cosine .8 of 24 dimensions 4.4e-7 of pairs match, of which 245,000 show none."""
    cosines, limit = strangers(0), 0.8
    assert (cosines >= limit).sum() == 0
    measured = false_matches(cosines, limit, 500_001)
    true = sphere_rate(limit, 24)
    assert abs(np.log(measured.rate / true)) < 2 * measured.rate_error
    assert measured.rate_error < 0.6
    assert measured.num_others == 500_000
    assert measured.per_person == measured.rate * 500_000


def test_false_matches_that_are_many_are_counted():
    cosines = strangers(1)
    measured = false_matches(cosines, 0.3, 11)
    assert measured.rate == (cosines >= 0.3).mean()
    assert measured.per_person == pytest.approx(10 * measured.rate)


def test_false_matches_need_pairs_and_people():
    assert false_matches(strangers(0)[:999], 0.8, 10) is None
    assert false_matches(strangers(0), 0.8, 0) is None
    at_one = false_matches(strangers(0), 1.0, 10)
    assert (at_one.rate, at_one.rate_error, at_one.per_person) == (0.0, None, 0.0)


def test_a_release_is_told_with_all_of_its_people():
    people = [person(0, 0.1, 0.2), dataclasses.replace(person(1, 0.1, 0.2), kind="real")]
    plan = Plan(request_with(identities={"max_cosine": 0.8}), {}, [])
    measured = separability(plan, Roster(people, np.eye(2)), strangers(0))
    assert measured.num_virtual == 1
    assert measured.false_matches.num_others == 1


def test_a_limit_among_strangers_has_an_interval_over_people():
    """200 people of 2 images; the rate by a plain resampling of people, and the limit at it."""
    rng = np.random.default_rng(0)
    unit = np.repeat(rng.normal(size=(200, 8)), 2, 0) + rng.normal(0, 0.3, (400, 8))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    labels = np.arange(400) // 2
    impostor = pair_cosines(unit, labels)[1]
    limit = float(np.quantile(impostor, 0.99))
    found = real_strangers(impostor, limit, AllPairs.of(unit, labels))
    assert found.num_people == 200
    assert found.interval.low < found.false_match_rate < found.interval.high
    assert found.limit_interval.low < limit < found.limit_interval.high
    above = (unit @ unit.T >= limit) & (labels[:, None] != labels)
    by_person = above.reshape(200, 2, 400).sum((1, 2))  # a person's pairs above the limit
    error = by_person.std() * np.sqrt(200) / len(impostor)
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(1.97 * error, rel=0.15)
    nobody = real_strangers(impostor, 2.0, AllPairs.of(unit, labels))
    assert nobody.interval.high == 3 / 100  # of a hundred pairs that share nobody
    assert nobody.limit_interval is None
    assert real_strangers(impostor, limit).interval is None


@pytest.fixture
def planned(release_config):
    config = release_config(f"identities.max_cosine={LIMIT}", "identities.proposal=prototypes")
    inputs, source = preflight(config), open_source(config.source)
    roster = build_roster(config, open_recognizer(config), source, inputs.request.max_cosine)
    return config, Plan(inputs.request, {}, []), roster, source


def test_an_audit_finds_what_the_gate_found(planned):
    config, plan, roster, source = planned
    store = LocalStore(config.store.url)
    largest = audit(config, plan, roster, source, store)
    assert largest.real == pytest.approx(
        max(one.nearest_real_cosine for one in roster.identities), abs=2e-6
    )
    assert largest.other == pytest.approx(
        max(one.nearest_other_cosine for one in roster.identities), abs=2e-6
    )


def test_an_audit_names_who_is_not_what_the_roster_says(planned):
    config, plan, roster, source = planned
    store = LocalStore(config.store.url)
    unit_ND = roster.unit_ND.copy()
    unit_ND[3] = unit_ND[1]
    with pytest.raises(IntegrityError, match=r"identity 3: cosine to the nearest real .* 0\.32"):
        audit(config, plan, dataclasses.replace(roster, unit_ND=unit_ND), source, store)
    identities = list(roster.identities)
    identities[2] = dataclasses.replace(identities[2], nearest_real_cosine=0.0)
    with pytest.raises(
        IntegrityError, match=r"identity 2: .* real identity .* roster says 0\.0000"
    ):
        audit(config, plan, dataclasses.replace(roster, identities=identities), source, store)


def test_an_audit_takes_nobody_real_for_somebody_virtual(planned):
    """In a union real people of one version come before virtual ones of another."""
    config, plan, roster, source = planned
    real = Identity(1, "real", "source", 0, 0.1, 0.2, 2, name="p1")
    later = [dataclasses.replace(one, index=one.index + 1) for one in roster.identities[1:]]
    people = [roster.identities[0], real, *later]
    unit_ND = np.insert(np.array(roster.unit_ND), 1, 0, axis=0)
    store = LocalStore(config.store.url)
    mixed = Roster(people, unit_ND)
    found = audit(config, plan, mixed, source, store)
    assert found == audit(config, plan, roster, source, store)
    people[3] = dataclasses.replace(people[3], nearest_real_cosine=0.0)
    with pytest.raises(IntegrityError, match="identity 3: cosine to the nearest real"):
        audit(config, plan, Roster(people, unit_ND), source, store)


def test_an_audit_refuses_who_is_nearer_than_the_gate_allows(planned):
    config, plan, roster, source = planned
    limit = float(roster.column("nearest_real_cosine").max()) - 1e-3
    identities = dataclasses.replace(plan.request.identities, max_cosine=limit)
    request = dataclasses.replace(plan.request, identities=identities)
    with pytest.raises(IntegrityError, match=rf"to the nearest real .*, the gate {limit:.6f}"):
        audit(config, Plan(request, {}, []), roster, source, LocalStore(config.store.url))


def test_the_rounding_of_a_headless_driver_is_no_altered_roster(planned):
    """A plan with a canary names its makers' machine, which is not where the roster was embedded.

    So real cosines may be off by rounding although audit and makers share everything.
    """
    config, plan, roster, source = planned
    identities = [
        dataclasses.replace(one, nearest_real_cosine=one.nearest_real_cosine + 1e-4)
        for one in roster.identities
    ]
    rounded, store = dataclasses.replace(roster, identities=identities), LocalStore("/nowhere")
    compute = dataclasses.replace(plan.request.compute, device="cpu")
    older = dataclasses.replace(plan, request=dataclasses.replace(plan.request, compute=compute))
    canary = dataclasses.replace(older, canary=Canary({}, this_machine("cpu")))
    assert audit(config, canary, rounded, source, store).real < LIMIT
    with pytest.raises(IntegrityError, match=r"identity 0: cosine to the nearest real"):
        audit(config, older, rounded, source, store)


def test_an_audit_wants_the_source_of_the_plan(planned):
    config, plan, roster, _ = planned
    store = LocalStore(config.store.url)
    other = open_source(dataclasses.replace(config.source, kind="starter", path=None))
    with pytest.raises(IntegrityError, match=r"source\.path: holds other faces"):
        audit(config, plan, roster, other, store)


def test_an_audit_wants_the_recognizer_of_the_plan(planned, weights):
    config, plan, roster, source = planned
    store = LocalStore(config.store.url)
    judge = dataclasses.replace(config.recognizer, checkpoint=str(weights / "judge"))
    other = dataclasses.replace(config.judge, checkpoint=None)
    with pytest.raises(IntegrityError, match=r"recognizer\.checkpoint: has sha256 .* planned with"):
        audit(
            dataclasses.replace(config, recognizer=judge, judge=other), plan, roster, source, store
        )
