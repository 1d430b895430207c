"""Releases that networks drew: exactly k images by reserves, and a union that is measured."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from factory.config import load
from factory.errors import PlanError
from factory.execution.inline import run_units
from factory.identities.roster import Roster
from factory.planning.plan_writer import describe
from factory.planning.preflight import preflight
from factory.release import Release, build, evaluate_and_report
from factory.shards import layout, manifest
from factory.shards.compact import Cut, compact
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.shards.union import chain_of, write_union
from factory.shards.verify import verify
from factory.sources import open_source
from factory.store import LocalStore
from factory.synthesis.reproduce import reproduce
from tests.conftest import tiny_dotlist

EXACT = (
    "identities.num_virtual=5",
    "filters.min_own_cosine=0.0",  # so some have too few images
    "plan.min_images=2",
    "plan.on_shortfall=replace",
    "plan.reserve_fraction=1",
)


@pytest.fixture(scope="module")
def grown(people, weights, tmp_path_factory):
    """(function of a version -> config, dataset) with 1.0.0, which 2.0.0 extends, and their union.

    The union is measured.
    """
    root: Path = tmp_path_factory.mktemp("grown")
    file = root / "release.yaml"
    file.write_text("{}\n")

    def config(version, *dotlist):
        named = (f"release.version={version}", *EXACT, *dotlist)
        return load(file, [*tiny_dotlist(people, weights, root / "store"), *named])

    build(config("1.0.0"), run_units, log=lambda line: None)
    build(config("2.0.0", "identities.extends=1.0.0"), run_units, log=lambda line: None)
    dataset = LocalStore(root / "store" / "tiny")
    write_union(dataset, chain_of(dataset, "2.0.0"), "3.0.0")
    measure(config("2.0.0"), dataset, "3.0.0")
    return config, dataset


def measure(config, dataset, version):
    store = dataset.below(layout.release_path(version))
    plan = open_plan(store)[0]
    sealed = Release(store, plan, manifest.sealed_manifest(store, plan))
    evaluate_and_report(config, open_source(config.source), sealed, run_units, lambda line: None)


def kept_by_identity(dataset, version) -> tuple[Roster, Counter[int]]:
    store = dataset.below(layout.release_path(version))
    plan, roster = open_plan(store)
    return roster, Counter(row["identity"] for row, _ in iterate_kept(store, plan))


def test_shortfall_in_a_release_of_networks_is_replaced(grown):
    config, dataset = grown
    roster, kept = kept_by_identity(dataset, "1.0.0")
    assert set(kept.values()) == {2}
    reserves = {one.index for one in roster.identities if not one.num_shots}
    assert reserves == {2, 3, 6, 7, 9, 10}
    assert kept.keys() & reserves, "the filter is so strict that somebody was replaced"
    assert "; identities with fewer than 2 images are replaced by 6 reserves (2 a unit)" in (
        describe(config("9.0.0"), preflight(config("9.0.0")))
    )
    card = dataset.get("releases/1.0.0/README.md").decode()
    assert "Every identity has exactly 2 images." in card
    assert "| virtual identities planned | 5 |" in card
    assert "| reserve identities | 6 |" in card
    assert f"| identities with images | {len(kept)} |" in card
    assert 'data_files="data/train-*.tar"' in card


def test_shortfall_reserves_have_labels_that_no_later_version_uses(grown):
    _, dataset = grown
    first, second = (
        {one.index for one in kept_by_identity(dataset, version)[0].identities}
        for version in ("1.0.0", "2.0.0")
    )
    assert first == set(range(11))
    assert second == set(range(11, 22))


def test_union_is_measured_and_its_card_says_of_which_versions_it_is(grown):
    _, dataset = grown
    store = dataset.below("releases/3.0.0")
    card = store.get("README.md").decode()
    assert "This release is the union of 1.0.0 and 2.0.0; their plans say how" in card
    assert 'path: ["../1.0.0/data/train-*.tar", "../2.0.0/data/train-*.tar"]' in card
    assert "Every identity has exactly 2 images." in card
    assert b"../1.0.0/data/train-000000.tar" in store.get(layout.CROISSANT)
    assert verify(store) == []


def test_union_and_compact_are_reproduced_where_their_images_were_drawn(grown, tmp_path):
    config, dataset = grown
    shutil.copytree(dataset.root, tmp_path / "store" / "tiny")
    copied = LocalStore(tmp_path / "store" / "tiny")
    compact(copied, "3.0.0", "4.0.0", Cut(identities_per_unit=50))
    store = copied.below("releases/4.0.0")
    rows = [row for row, _ in iterate_kept(store, open_plan(store)[0])]
    for row in (rows[0], rows[-1]):
        assert reproduce(config("2.0.0"), store, row["key"]).equal
    with pytest.raises(PlanError, match="has no kept face '000099_0000'"):
        reproduce(config("2.0.0"), store, "000099_0000")
    shutil.rmtree(copied.path("releases/1.0.0"))
    with pytest.raises(PlanError, match=r"3\.0\.0 is the union of .*1\.0\.0 is gone; restore"):
        reproduce(config("2.0.0"), store, rows[0]["key"])
    measure(config("2.0.0"), copied, "4.0.0")
    card = store.get("README.md").decode()
    assert "This release is the images, in other shards, of 3.0.0; " in card
    assert verify(store) == []
