"""A release with people who are mixes of two others: its columns, its bytes, and who audits it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from factory.config import load
from factory.errors import IntegrityError
from factory.evaluation.mixes import mixed_people
from factory.evaluation.separability import audit, separability
from factory.execution.inline import run_units
from factory.identities.roster import Roster
from factory.release import build
from factory.report.tables import separability as table_of
from factory.shards import layout
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows, read_face
from factory.shards.verify import verify
from factory.sources import open_source
from factory.store import LocalStore
from factory.synthesis.reproduce import reproduce
from tests.conftest import tiny_dotlist

PARENTS = ("first_parent", "second_parent", "mix_weight")
SETTINGS = (
    "identities.max_cosine=0.99",
    "identities.proposal=prototypes",
    "sampler.guidance=2",
)


@pytest.fixture(scope="module")
def released(people, weights, tmp_path_factory):
    """Function of dotlist items -> (config, store) of a release that is made."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "c.yaml").write_text("{}\n")

    def make(*dotlist: str):
        settings = [*tiny_dotlist(people, weights, root / "store"), *SETTINGS, *dotlist]
        config = load(root / "c.yaml", settings)
        build(config, run_units, log=lambda line: None)
        return config, LocalStore(layout.release_store(config).root)

    return make


@pytest.fixture(scope="module")
def mixes(released):
    """Three people and three mixes of them, the third person and the first mix in one unit."""
    return released("identities.mix.fraction=0.5", "release.dataset=mixed")


@pytest.fixture(scope="module")
def plain(released):
    """The same people and three more instead."""
    return released("release.dataset=plain")


def rows_of(store) -> list[dict]:
    plan, _ = open_plan(store)
    return [row for unit in plan.units for row in metadata_rows(store, unit.index)]


def test_metadata_and_roster_say_who_is_mixed_and_others_are_null(mixes):
    _, store = mixes
    _, roster = open_plan(store)
    assert verify(store) == []
    for row in rows_of(store):
        person = roster.person(row["identity"])
        told = tuple(row[name] for name in PARENTS)
        if row["identity"] < 3:
            assert told == (None, None, None)
            continue
        assert told == (person.first_parent, person.second_parent, 0.5)
        assert {person.first_parent, person.second_parent} < {0, 1, 2}
        assert person.proposal == "mix"
    assert {row["identity"] for row in rows_of(store)} == set(range(6))


def test_people_who_are_no_mixes_have_the_bytes_of_a_release_without_any(mixes, plain):
    """Also the one in whose batch a mix is."""
    first, second = ({row["key"]: row for row in rows_of(store)} for store in (mixes[1], plain[1]))
    rosters = [open_plan(store)[1] for store in (mixes[1], plain[1])]
    np.testing.assert_array_equal(rosters[0].unit_ND[:3], rosters[1].unit_ND[:3])
    assert "first_parent" not in rosters[1].people.table().column_names
    assert {key: row["seed"] for key, row in first.items()} == {
        key: row["seed"] for key, row in second.items()
    }
    same = {key for key in first if first[key]["sha256"] == second[key]["sha256"]}
    assert same == {key for key, row in first.items() if row["identity"] < 3}


def test_every_image_of_a_mix_is_made_again(mixes):
    config, store = mixes
    (row,) = [one for one in rows_of(store) if one["identity"] == 3][:1]
    again = reproduce(config, store, row["key"])
    assert again.encoded == again.published == read_face(store, 1, row)
    assert (again.shot.first_parent, again.shot.mix_weight) == (row["first_parent"], 0.5)


def test_an_audit_knows_both_parents(mixes):
    config, store = mixes
    plan, roster = open_plan(store)
    source, dataset = open_source(config.source), LocalStore(store.root.parent)
    assert audit(config, plan, roster, source, dataset).other < 0.99
    people = list(roster.identities)
    stranger = next(
        one for one in range(3) if one not in (people[4].first_parent, people[4].second_parent)
    )
    people[4] = dataclasses.replace(people[4], first_parent=stranger)
    with pytest.raises(IntegrityError, match=rf"identity 4: is not the mix of {stranger} and"):
        audit(config, plan, Roster(people, roster.unit_ND), source, dataset)


def test_metrics_and_report_tell_of_mixes(mixes):
    plan, roster = open_plan(mixes[1])
    measured = separability(plan, roster, np.empty(0))
    assert measured.mixed == mixed_people(roster)
    shown = dict(table_of(measured))
    assert shown["mixes of two others"] == "3, of weight 0.5"
    near = measured.mixed.num_nearest_to_parent
    assert shown["mixes to whom nobody is nearer than a parent"] == f"{near} of 3"
