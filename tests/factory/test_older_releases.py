"""Releases and checkpoints made before config keys were renamed verify, read, export and evaluate.

tests/fixtures/releases_before_rename.tar.xz was written by the last commit before that change: a
release by each method, of three rendered people of the starter pack, with the set of LoRAs that one
of them was drawn by.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from factory import checkpoint
from factory.config import load
from factory.errors import IntegrityError, PlanError
from factory.execution.inline import run_units
from factory.planning.preflight import preflight
from factory.release import Release, evaluate_and_report
from factory.report.attacked_release import attacked_release
from factory.shards import layout, manifest, plan_files
from factory.shards.export import export
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept, metadata_rows
from factory.shards.verify import verify
from factory.shots.plan import Plan, first_round_shots
from factory.sources import open_source
from factory.store import open_store
from factory.synthesis.lora_sets import read_lora_plan

FIXTURE = Path(__file__).parent.parent / "fixtures" / "releases_before_rename.tar.xz"
METHODS = {"drawn": "diffusion", "edited": "edit", "personal": "lora"}
LATER = {
    "negative_from": 1.0,
    "negative_to": 1.0,
    "first_parent": None,
    "second_parent": None,
    "mix_weight": None,
}
"""Columns of shots that these releases lack, as such plans mean them."""
HASHES = {
    "drawn": "c43c36b254ce6ac03d97d5e059fab6fc53862473e66b35ff01d70fa9e686224f",
    "edited": "13657b98a59cbc9f479d070c58dcd409902dd0e20a88c21efbce04f5395d2171",
    "personal": "be340a5295df66e261672edd62ed609340a0cd0b1818b2ac9a07cff5d5edf9a8",
}
"""As their commit records and latest.json name them."""
STARTER_OF_THEN = "e6204094005d77a5e7c4b9b09901fddc2d9aa65032b587f532b80aacccf53f23"
"""sha256 of the recognizer that they were planned with."""


@pytest.fixture
def older(tmp_path):
    """The folder with people/ and store/ of the fixture."""
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture(params=sorted(METHODS))
def dataset(request):
    return request.param


def config_of(older: Path, dataset: str, *dotlist: str):
    (older / "any.yaml").write_text("{}\n")
    settings = [
        "source.kind=folder",
        f"source.path={older / 'people'}",
        "source.license=unknown",
        f"store.url={older / 'store'}",
        "store.min_free_bytes=0",
        f"release.dataset={dataset}",
        f"release.method={METHODS[dataset]}",
        "audit.max_leak_fraction=1",
        "audit.num_rejects=0",
        f"audit.embeddings_dir={older / 'embeddings'}",
        "fleet.runner=inline",
        "sampler.num_steps=2",
    ]
    if dataset != "drawn":
        settings += ["identities.num_virtual=0", "release.allow_real=true"]
    if dataset == "personal":
        settings += ["personalization.loras=all", "plan.fill_to=4", "source.resize=true"]
    return load(older / "any.yaml", [*settings, *dotlist])


def store_of(older: Path, dataset: str):
    return open_store(config_of(older, dataset).store).below(f"{dataset}/releases/0.1.0")


def test_an_older_plan_keeps_its_hash_and_is_read_under_the_present_names(older, dataset):
    store = store_of(older, dataset)
    plan, roster = open_plan(store)
    assert plan.hash == HASHES[dataset]
    assert {shard.plan_hash for shard in manifest.collect(store, plan).shards} == {plan.hash}
    request = plan.request
    assert request.release.method == METHODS[dataset]
    assert (request.edits is not None, request.prompts is not None) == (
        dataset == "edited",
        dataset == "personal",
    )
    if dataset == "drawn":
        assert request.sampler.negative_condition == "nearest_identity"
        assert request.sampler.perturb_identity
        assert request.sampler.guidance_interval == (0.0, 1.0)
        assert request.sampler.timestep_spacing == "trailing"
    if dataset == "edited":
        assert request.edits.editing.method == "drawn"
        assert request.edits.editing.occluded_fractions == (0.0, 0.3)
    if dataset == "personal":
        assert request.prompts.lists["view"] == ["face ", "side "]
    # the shots that were drawn are those that such a plan asks for today
    rows = [row for unit in plan.units for row in metadata_rows(store, unit.index)]
    shots = {s.key: s for unit in plan.units for s in first_round_shots(request, unit, roster)}
    first = [row for row in rows if row["attempt"] == 0]
    assert first
    for row in first:
        shot = vars(shots[row["key"]])
        assert {name: (LATER | row)[name] for name in shot} == shot


def test_a_changed_older_plan_is_refused(older, dataset):
    data = store_of(older, dataset).get(layout.PLAN)
    with pytest.raises(PlanError, match="does not match its own plan_hash"):
        Plan.from_json(data.replace(b'"seed": 0', b'"seed": 1'))


def test_an_older_release_verifies_reads_and_exports(older, dataset, tmp_path):
    store = store_of(older, dataset)
    assert verify(store) == []
    plan, _ = open_plan(store)
    kept = list(iterate_kept(store, plan))
    assert len(kept) == manifest.collect(store, plan).counts.kept
    assert all(content[:3] == b"\xff\xd8\xff" for _, content in kept)
    assert export(store, "imagefolder", tmp_path / "out") == len(kept)
    folder = config_of(
        older,
        dataset,
        "source.kind=webdataset",
        f"source.path={store.root}",
        "source.resize=false",
    )
    assert len(open_source(folder.source)) == len(kept)


def test_an_older_release_is_measured_again(older, dataset, monkeypatch):
    """With the starter recognizer of today in the place of that of then, which ships no more."""
    read_now = checkpoint.read_metadata

    def read_as_then(name, kind, key):
        then = {"sha256": STARTER_OF_THEN} if name == "starter:recognizer" else {}
        return read_now(name, kind, key) | then

    monkeypatch.setattr(plan_files, "checkpoint", SimpleNamespace(read_metadata=read_as_then))
    config, store = config_of(older, dataset), store_of(older, dataset)
    plan, _ = open_plan(store)
    shards = manifest.collect(store, plan)
    before = set(store.list("metrics/"))
    source, release = open_source(config.source), Release(store, plan, shards)
    metrics = evaluate_and_report(config, source, release, run_units, lambda line: None)
    assert verify(store) == []
    after = {layout.metrics_name(stem) for stem in metrics.files()}
    assert before - after == {"metrics/learned_from.json"}
    assert set(store.list("metrics/")) == after  # nothing is left under an older name
    assert b"<html" in store.get(layout.REPORT)


def test_an_attack_on_a_release_with_older_metrics_is_refused_before_it_begins(older):
    config = config_of(older, "drawn")
    drew = open_plan(store_of(older, "drawn"))[0].request.weights["generator"]
    with pytest.raises(IntegrityError, match=r"metrics: .*measure the release again"):
        attacked_release(config, drew)


def test_older_loras_are_read(older):
    store = open_store(config_of(older, "personal").store).below("personal/loras/all")
    plan = read_lora_plan(store)
    assert len(plan.units) == len(plan.request.source.people) == 3
    assert (plan.request.recipe.rank, plan.request.recipe.steps) == (1, 2)
    assert plan.request.base_model.family == "sd"


def test_going_on_with_an_older_plan_is_refused_by_name(older):
    """Another factory may make other bytes, so a release that was begun is finished by its own."""
    config = config_of(older, "drawn")
    store = store_of(older, "drawn")
    from factory.planning.plan_writer import refuse_other_plan

    with pytest.raises(PlanError, match=r"begun with another plan"):
        refuse_other_plan(open_plan(store)[0], preflight(config), store)
