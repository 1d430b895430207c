"""A release that is made, withdrawn from, and measured anew: the whole way, for two methods."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from factory.execution.inline import run_units
from factory.release import Release, build, evaluate_and_report
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.sources import open_source
from factory.store import open_store
from factory.synthesis.reproduce import reproduce

METHODS = {
    "edit": [
        *["release.method=edit", "editing.method=drawn", "identities.num_virtual=0"],
        *["plan.identities_per_unit=2", "audit.num_rejects=0", "judge.checkpoint=null"],
    ],
    "fill_to": ["plan.fill_to=4", "identities.num_virtual=3"],
}


@pytest.mark.parametrize("method", METHODS)
def test_a_successor_of_a_withdrawn_release_is_measured_and_made_again(release_config, method):
    config = release_config(
        "release.allow_real=true", "identities.max_cosine=0.9", *METHODS[method]
    )
    build(config, run_units, log=lambda line: None)
    root = open_store(config.store)
    old, new = (root.below(layout.release_prefix("tiny", v)) for v in ("0.1.0", "0.1.1"))
    before = dict(_images(old))
    find(f"{config.store.url}/tiny", "person_1").write("2026-11-26", lambda line: None)
    plan, roster = open_plan(new)
    gone = int(roster.people.where("kind", "withdrawn").nonzero()[0][0])
    after = dict(_images(new))
    assert after == {key: value for key, value in before.items() if value[0] != gone}
    assert 0 < len(after) < len(before)
    source = open_source(config.source)
    release = Release(new, plan, manifest.sealed_manifest(new, plan))
    evaluate_and_report(config, source, release, run_units, lambda line: None)
    assert verify(new) == []
    assert b"person_1" not in new.get(layout.CARD) + new.get(layout.REPORT)
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.1"
    key = next(iter(after))
    named = replace(config, release=replace(config.release, version="0.1.1"))
    assert reproduce(named, new, key).equal


def _images(store):
    for row, encoded in iterate_kept(store, manifest.sealed_plan(store)):
        yield row["key"], (row["identity"], encoded)
