"""A release that is made, withdrawn from, and measured anew: the whole way, for two methods."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from factory.errors import IntegrityError
from factory.execution.inline import run_units
from factory.release import Release, build, evaluate_and_report
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.shards.union import write_union
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.sources import open_source
from factory.store import open_store
from factory.synthesis.loading import load_release
from factory.synthesis.reproduce import reproduce
from jobs.evaluate import evaluate
from tests.real_people import NAMES, Named, key_of_pseudonyms

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


@pytest.mark.parametrize("method", ["diffusion", "edit"])
def test_a_successor_of_a_withdrawn_release_is_measured_without_their_photographs(tmp_path, method):
    """As jobs.forget tells the owner: the folder is removed from the source before."""
    named = Named.made(tmp_path)
    config, _, _ = named.release(method)
    root = open_store(config.store)
    new = root.below(layout.release_prefix(method, "0.1.1"))
    with key_of_pseudonyms():
        find(f"{config.store.url}/{method}", NAMES[0]).write("2026-11-26", lambda line: None)
        shutil.rmtree(tmp_path / "people" / NAMES[0])
        evaluate(new.url, config, False)
        assert verify(new) == []
        key = next(iter(_images(new)))[0]
        assert reproduce(config, new, key).equal
        other, photographs = tmp_path / "people" / NAMES[1], tmp_path / "kept"
        shutil.move(other, photographs)  # one who did not withdraw is missing too
        with pytest.raises(IntegrityError, match="or, without those alone who withdrew"):
            evaluate(new.url, config, False)
        shutil.move(photographs, other)
        if method == "edit":
            next(other.iterdir()).unlink()
            with pytest.raises(IntegrityError, match="images of somebody of whom the release"):
                evaluate(new.url, config, False)


def test_a_successor_of_a_union_is_made_again_as_it_was_drawn(release_config, monkeypatch):
    """Also after those who withdrew are deleted from the version that drew them."""
    real = ("release.allow_real=true", "identities.max_cosine=0.9", *METHODS["fill_to"])
    virtual = ("identities.max_cosine=0.9", "identities.num_virtual=2", "release.version=0.2.0")
    config = release_config(*real)
    for one in (config, release_config(*virtual, "identities.extends=0.1.0")):
        build(one, run_units, log=lambda line: None)
    dataset = open_store(config.store).below("tiny")
    write_union(dataset, ["0.1.0", "0.2.0"], "0.5.0")
    withdrawal = find(dataset.url, "person_1")
    withdrawal.write("2026-11-26", lambda line: None)
    new = dataset.below("releases/0.5.1")
    rows = [row for row, _ in iterate_kept(new, manifest.sealed_plan(new))]
    plans = []

    def load(config, store):
        plans.append(store.url.rpartition("/")[2])
        return load_release(config, store)

    monkeypatch.setattr("factory.synthesis.reproduce.load_release", load)
    for first in ("0.1.0", "0.1.1"):  # which holds all others once they are deleted
        assert reproduce(config, new, rows[0]["key"]).equal
        assert reproduce(config, new, rows[-1]["key"]).equal
        assert plans[-2:] == [first, "0.2.0"]
        withdrawal.delete("2026-11-26", lambda line: None)


def _images(store):
    for row, encoded in iterate_kept(store, manifest.sealed_plan(store)):
        yield row["key"], (row["identity"], encoded)
