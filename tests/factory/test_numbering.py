"""Versions of a dataset that extend each other lie in one folder: no name, key or label twice."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import webdataset

from factory.config import SourceConfig, load
from factory.errors import IntegrityError, PlanError
from factory.evaluation import similarity
from factory.evaluation.evaluate import evaluate
from factory.evaluation.separability import audit
from factory.execution.inline import run_units
from factory.planning.preflight import preflight
from factory.records import Shot
from factory.release import build
from factory.shards import garbage, layout, plan_files
from factory.shards.export import KINDS, export
from factory.shards.manifest import collect, committed_units
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.shots.plan import Plan, canonical
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore
from factory.synthesis.loading import load_release
from factory.synthesis.reproduce import reproduce
from tests.conftest import IMAGES, PEOPLE, PX, tiny_dotlist

VIRTUAL = 5
FIRST = VIRTUAL + PEOPLE
"""Identities of the first version; it has as many units as the second begins with."""
FIRST_UNIT = -(-FIRST // 2)
DRAWN = (
    f"identities.num_virtual={VIRTUAL}",
    f"plan.fill_to={IMAGES + 2}",
    "release.allow_real=true",
    "sampler.negative_condition=nearest_identity",
    "sampler.perturb_identity=true",
    "filters.min_own_cosine=-0.3",  # some are rejected
)


class Killed(Exception):
    """Stands for a dead driver."""


def quiet(line: str) -> None:
    """No log."""


def store_of(config) -> LocalStore:
    return LocalStore(layout.release_store(config).root)


@pytest.fixture(scope="module")
def config_of(people, weights, tmp_path_factory):
    """Function of dotlist items -> config of a release of virtual and real people, in groups."""
    root = tmp_path_factory.mktemp("versions")
    (root / "release.yaml").write_text("{}\n")
    groups = "".join(f"person_{i},{'ab'[i % 2]}\n" for i in range(PEOPLE))
    (root / "groups.csv").write_text(f"name,group\n{groups}")
    settings = [*tiny_dotlist(people, weights, root / "store"), *DRAWN]
    settings.append(f"identities.attributes={root / 'groups.csv'}")
    return lambda *dotlist: load(root / "release.yaml", [*settings, *dotlist])


@pytest.fixture(scope="module")
def versions(config_of):
    """Configs of 0.1.0 and of 0.2.0, which extends it; both are made."""
    configs = [
        config_of("release.version=0.1.0"),
        config_of("release.version=0.2.0", "identities.extends=0.1.0", "identities.num_virtual=6"),
    ]
    for config in configs:
        build(config, run_units, log=quiet)
    return configs


def samples_of(store) -> list[tuple[str, int]]:
    """(key, label) of every sample, by the members of the tars."""
    found = []
    for name in store.list("data/"):
        with tarfile.open(fileobj=io.BytesIO(store.get(name))) as tar:
            for member in tar:
                if member.name.endswith(".cls"):
                    content = tar.extractfile(member)
                    assert content
                    found.append((member.name.removesuffix(".cls"), int(content.read())))
    return found


def laid_together(versions, folder: Path) -> Path:
    """The files of both versions in one folder; asserts that none has the name of another."""
    for config, part in itertools.product(versions, ("data", "metadata", "rejects", "_commits")):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for file in (store_of(config).root / part).iterdir():
            assert not (folder / part / file.name).exists(), file.name
            shutil.copy(file, folder / part / file.name)
    return folder


def test_two_versions_share_no_file_name_key_or_label(versions, tmp_path):
    laid_together(versions, tmp_path)
    first, second = (samples_of(store_of(config)) for config in versions)
    assert first
    assert second
    assert not {key for key, _ in first} & {key for key, _ in second}
    assert not {label for _, label in first} & {label for _, label in second}
    assert all(int(key.partition("_")[0]) == label for key, label in first + second)
    assert sorted({label for _, label in first}) == list(range(FIRST))
    assert sorted({label for _, label in second}) == list(range(FIRST, 2 * FIRST + 1))


def test_both_are_read_together(versions, tmp_path):
    laid_together(versions, tmp_path)
    samples = [sample for config in versions for sample in samples_of(store_of(config))]
    faces = open_source(SourceConfig(kind="webdataset", path=str(tmp_path), image_px=PX))
    assert sorted(faces.keys) == sorted(key for key, _ in samples)
    assert list(faces.names) == [f"{number:012d}" for number in range(2 * FIRST + 1)]
    assert sorted(set(faces.labels.tolist())) == list(range(2 * FIRST + 1))  # classes without gaps

    last = max(unit.index for unit in open_plan(store_of(versions[1]))[0].units)
    urls = f"{tmp_path}/data/train-{{000000..{last:06d}}}.tar"
    plain = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
    read = [(sample["__key__"], int(sample["cls"])) for sample in plain]
    assert sorted(read) == sorted(samples)


def test_the_second_is_read_by_its_own_numbers(versions):
    store = store_of(versions[1])
    stream = ReleaseStream(store, shuffle=False, verify=True)
    assert [(sample.key, sample.label) for sample in stream] == samples_of(store)
    source = open_source(SourceConfig(kind="webdataset", path=str(store.root), image_px=PX))
    real = [f"person_{i}" for i in range(PEOPLE)]
    virtual = [f"{FIRST + i:012d}" for i in range(6)]
    assert sorted(source.names) == sorted(virtual + real)
    assert sorted(set(source.labels.tolist())) == list(range(6 + PEOPLE))


def test_the_plan_says_from_where_and_its_hash_holds_it(versions):
    first, second = (json.loads(store_of(config).get(layout.PLAN)) for config in versions)
    assert "first_identity" not in first
    assert first["units"][0][:2] == [0, 0]
    assert second["first_identity"] == FIRST
    assert second["units"][0][:2] == [FIRST_UNIT, FIRST]
    altered = json.dumps(second | {"first_identity": FIRST + 1}).encode()
    with pytest.raises(PlanError, match="does not match its own plan_hash"):
        Plan.from_json(altered)


def test_a_plan_that_contradicts_its_units_is_refused(versions):
    body = json.loads(store_of(versions[1]).get(layout.PLAN))
    del body["first_identity"], body["plan_hash"]
    body["plan_hash"] = hashlib.sha256(canonical(body)).hexdigest()
    with pytest.raises(PlanError, match=f"first_identity is 0, its units begin at {FIRST}"):
        Plan.from_json(json.dumps(body).encode())


def test_roster_and_plan_look_up_by_index_and_refuse_others(versions):
    plan, roster = open_plan(store_of(versions[1]), versions[1])
    indices = [person.index for person in roster.identities]
    assert indices == list(range(FIRST, FIRST + 6 + PEOPLE))
    assert [roster.row(index) for index in indices] == list(range(6 + PEOPLE))
    assert roster.person(FIRST + 2) == roster.identities[2]
    for stranger in (FIRST - 1, indices[-1] + 1, 0, -1):
        with pytest.raises(IntegrityError, match=f"identity {stranger}: the roster has {FIRST} to"):
            roster.person(stranger)
        with pytest.raises(IntegrityError, match=f"identity {stranger}: the roster has {FIRST} to"):
            roster.row(stranger)
    assert plan.unit(FIRST_UNIT) is plan.units[0]
    for stranger in (FIRST_UNIT - 1, FIRST_UNIT + len(plan.units), 0, -1):
        with pytest.raises(PlanError, match=f"has no unit {stranger}"):
            plan.unit(stranger)
    for person in roster.identities:
        cosines = roster.unit_ND @ roster.unit_ND[roster.row(person.index)]
        cosines[roster.row(person.index)] = -2
        if person.kind == "virtual":
            cosines = cosines[:6]  # decided by the gate before anybody real is added
        assert person.nearest_other == FIRST + int(cosines.argmax())


@pytest.mark.parametrize("number", [0, 1])
def test_faces_are_drawn_and_scored_for_whom_their_label_names(versions, number):
    """Every column of the metadata that names somebody, computed again from the pixels."""
    config = versions[number]
    store = store_of(config)
    plan, roster = open_plan(store, config)
    loaded = load_release(config, store)
    recognizer = loaded.recognizer
    real_row = {name: row for row, name in enumerate(recognizer.real_names)}
    rows = [row for unit in plan.units for row in metadata_rows(store, unit.index)]
    assert {row["kind"] for row in rows} == {"virtual", "real"}
    for row in rows:
        person = roster.person(row["identity"])
        shot = Shot(**{item.name: row[item.name] for item in fields(Shot)})
        _, asked = loaded.generator.inputs([shot], 3)
        own_D = roster.unit_ND[roster.row(person.index)]
        assert own_D @ asked.identity_BD[shot.slot].numpy() == pytest.approx(
            shot.perturbation_cos, abs=1e-5
        )
        away_D = roster.unit_ND[roster.row(person.nearest_other)]
        assert np.array_equal(asked.negative_BD[shot.slot].numpy(), away_D)
        (unit_D,) = recognizer.embed(loaded.draw(shot)[None].copy())
        to_roster, to_real = roster.unit_ND @ unit_D, recognizer.unit_real @ unit_D
        own = roster.row(row["identity"])
        assert row["own_cosine"] == pytest.approx(to_roster[own], abs=1e-4)
        to_roster[own] = -2
        assert row["nearest_other"] == plan.first_identity + int(to_roster.argmax())
        assert row["nearest_other_cosine"] == pytest.approx(to_roster.max(), abs=1e-4)
        if person.name:
            to_real[real_row[person.name]] = -1
        assert row["nearest_real_cosine"] == pytest.approx(to_real.max(), abs=1e-4)
        assert row["negative_identity"] == person.nearest_other
        assert row["kind"] == person.kind


def test_the_second_verifies_reproduces_and_exports(versions, tmp_path):
    config = versions[1]
    store = store_of(config)
    plan, _ = open_plan(store)
    assert verify(store) == []
    for unit in plan.units:
        row = metadata_rows(store, unit.index)[-1]
        assert reproduce(config, store, row["key"]).equal
    with pytest.raises(PlanError, match=f"has no kept face '000000_0000'.*{FIRST:06d}_0000"):
        reproduce(config, store, "000000_0000")
    for kind in KINDS:
        assert export(store, kind, tmp_path / kind) == len(samples_of(store))
    folders = sorted(f.name for f in (tmp_path / "imagefolder").iterdir() if f.is_dir())
    assert folders == [f"{FIRST + i:06d}" for i in range(6 + PEOPLE)]
    classes = {
        line.split("\t")[1] for line in (tmp_path / "rec/train.lst").read_text().split("\n")[:-1]
    }
    assert classes == {str(i) for i in range(6 + PEOPLE)}  # dense, whatever the labels are


def test_the_second_is_measured_reported_and_audited(versions):
    config = versions[1]
    store, source = store_of(config), open_source(config.source)
    plan, roster = open_plan(store)
    metrics, pictures = evaluate(config, source, store, plan, collect(store, plan), run_units)
    assert set(pictures.ranking.tolist()) == set(range(FIRST, FIRST + 6 + PEOPLE))
    assert set(pictures.faces.labels.tolist()) == set(pictures.ranking.tolist())
    assert sum(group.count for group in metrics.balance.groups.values()) == 6
    within = [group.mean_cosine_within for group in metrics.balance.groups.values()]
    members = [roster.row(p.index) for p in roster.identities if p.group == "a"]
    if len(members) > 1:
        unit_ND = roster.unit_ND[members]
        pairs = (unit_ND @ unit_ND.T)[~np.eye(len(members), dtype=bool)]
        assert within[list(metrics.balance.groups).index("a")] == pytest.approx(pairs.mean())
    dataset = LocalStore(config.store.url).below("tiny")
    assert audit(config, plan, roster, source, dataset).other < 0.9
    page, card = store.get(layout.REPORT).decode(), store.get(layout.CARD).decode()
    assert f"identity {FIRST} and shard {FIRST_UNIT}" in page
    assert f"Labels begin with {FIRST}, because this version goes on after 0.1.0" in card
    croissant = json.loads(store.get(layout.CROISSANT))
    tars = [f["name"] for f in croissant["distribution"] if f["name"].startswith("data/")]
    assert tars == [layout.tar_name(unit.index) for unit in plan.units]
    wids = json.loads(store.get(layout.WIDS))
    assert [entry["url"] for entry in wids["shardlist"]] == [f"../{name}" for name in tars]
    first = store_of(versions[0])
    assert "Labels begin" not in first.get(layout.CARD).decode()
    assert "numbers go on" not in first.get(layout.REPORT).decode()


def test_samples_of_a_large_release_begin_with_its_first_identity(versions, monkeypatch):
    config = versions[1]
    store, source = store_of(config), open_source(config.source)
    plan, _ = open_plan(store)
    monkeypatch.setattr(similarity, "MAX_FACES", 1)  # every stride is longer than the roster
    manifest = collect(store, plan)
    metrics, pictures = evaluate(config, source, store, plan, manifest, run_units)
    assert set(pictures.faces.labels.tolist()) == {FIRST}
    kept = [row for row in metadata_rows(store, FIRST_UNIT) if row["identity"] == FIRST]
    assert metrics.similarity["recognizer"].nearest_real.count == len(kept) > 0


def test_a_roster_of_other_numbers_than_the_plan_is_refused(versions, tmp_path):
    first, store = store_of(versions[0]), LocalStore(tmp_path)
    body = json.loads(store_of(versions[1]).get(layout.PLAN))
    del body["plan_hash"]
    body["roster"] = json.loads(first.get(layout.PLAN))["roster"]
    body["plan_hash"] = hashlib.sha256(canonical(body)).hexdigest()
    store.put(layout.PLAN, json.dumps(body).encode())
    for name in (layout.ROSTER, layout.EMBEDDINGS):
        store.put(name, first.get(name))
    with pytest.raises(IntegrityError, match=f"begins with identity 0, the plan with {FIRST}"):
        open_plan(store)


def test_a_dead_driver_of_the_second_changes_no_byte(versions, config_of, tmp_path):
    """It is resumed, gc finds what it left, status counts: all by numbers that begin above 0."""
    whole = store_of(versions[1])
    shutil.copytree(versions[0].store.url, tmp_path / "torn")
    shutil.rmtree(tmp_path / "torn" / "tiny" / "releases" / "0.2.0")
    config = replace(versions[1], store=replace(versions[1].store, url=str(tmp_path / "torn")))

    def dies_after_two(fleet, open_maker, units, on_done, draining, on_state):
        done = []

        def count(shard):
            done.append(shard)
            on_done(shard)
            if len(done) == 2:
                raise Killed

        run_units(fleet, open_maker, units, count)

    with pytest.raises(Killed):
        build(config, dies_after_two, log=quiet)
    torn = store_of(config)
    assert committed_units(torn) >= {FIRST_UNIT, FIRST_UNIT + 1}
    status = StatusReader(torn).read()
    assert (status.num_units, len(status.shards)) == (5, len(committed_units(torn)))
    for number in committed_units(torn) - {FIRST_UNIT}:
        torn.delete(layout.commit_name(number))
    orphans = {item.unit for item in garbage.find(torn, 0.0, 1e12)}
    assert FIRST_UNIT + 1 in orphans
    assert FIRST_UNIT not in orphans
    build(config, run_units, log=quiet)
    assert torn.get(layout.SUMS) == whole.get(layout.SUMS)


def test_numbers_go_on_after_a_chain_with_an_older_plan(versions, config_of, monkeypatch, tmp_path):
    """Older versions began at 0 though they extend: the largest number of all of them counts."""
    shutil.copytree(versions[0].store.url, tmp_path / "chain")
    at = f"store.url={tmp_path / 'chain'}"
    older = config_of(at, "release.version=0.2.1", "identities.extends=0.1.0", "plan.fill_to=0")
    with monkeypatch.context() as before:
        before.setattr(plan_files, "numbers_after", lambda plans: (0, 0))
        build(older, run_units, log=quiet)
    store = store_of(older)
    plan, roster = open_plan(store)
    assert "first_identity" not in json.loads(store.get(layout.PLAN))
    assert (plan.first_identity, plan.units[0].index, roster.first_identity) == (0, 0, 0)
    assert verify(store) == []
    assert reproduce(older, store, "000001_0000").equal
    assert export(store, "imagefolder", tmp_path / "out") == collect(store, plan).counts.kept
    build(older, run_units, log=quiet)  # is sealed already

    newest = config_of(at, "release.version=0.3.0", "identities.extends=0.2.1", "plan.fill_to=0")
    build(newest, run_units, log=quiet)
    plan, roster = open_plan(store_of(newest))
    assert (plan.first_identity, plan.units[0].index) == (FIRST, FIRST_UNIT)  # those of 0.1.0
    after_second = config_of(at, "release.version=0.4.0", "identities.extends=0.2.0")
    build(after_second, run_units, log=quiet)
    plan, _ = open_plan(store_of(after_second))
    assert (plan.first_identity, plan.units[0].index) == (2 * FIRST + 1, FIRST_UNIT + 5)


def test_keys_past_six_digits_widen_as_one(versions, config_of, monkeypatch, tmp_path):
    at = f"store.url={tmp_path / 'million'}"
    config = config_of(at, "plan.fill_to=0", "plan.images_per_identity=1")
    monkeypatch.setattr(plan_files, "numbers_after", lambda plans: (999_998, 999_997))
    build(config, run_units, log=quiet)
    store = store_of(config)
    plan, _ = open_plan(store)
    assert verify(store) == []
    keys = [row["key"] for unit in plan.units for row in metadata_rows(store, unit.index)]
    assert {key.partition("_")[0] for key in keys} <= {
        *("0999998", "0999999", "1000000", "1000001", "1000002")
    }
    assert keys == sorted(keys)  # as text they sort like the identities
    assert reproduce(config, store, keys[-1]).equal
    for kind in KINDS:
        assert export(store, kind, tmp_path / kind) == len(keys)
    folders = sorted(f.name for f in (tmp_path / "imagefolder").iterdir() if f.is_dir())
    assert [int(name) for name in folders] == sorted(int(name) for name in folders)
    assert [label for _, label in samples_of(store)] == [int(key[:7]) for key in keys]
    assert store.list("data/")[-1] == "data/train-999999.tar"


def test_units_past_six_digits_are_refused_before_anything_is_drawn(
    config_of, monkeypatch, tmp_path
):
    config = config_of(f"store.url={tmp_path / 'full'}", "plan.fill_to=0")
    for module in ("factory.shards.plan_files", "factory.planning.preflight"):
        monkeypatch.setattr(f"{module}.numbers_after", lambda plans: (5, 999_998))
    with pytest.raises(
        PlanError, match=r"plan\.identities_per_unit: got 2, so units .* to 1000000"
    ):
        preflight(config)
    wider = replace(config, plan=replace(config.plan, identities_per_unit=3))
    build(wider, run_units, log=quiet)
    assert [unit.index for unit in open_plan(store_of(wider))[0].units] == [999_998, 999_999]
    with pytest.raises(PlanError, match=r"plan\.identities_per_unit"):
        # people of the source are only known with the roster
        build(
            config_of(
                f"store.url={tmp_path / 'real'}", "plan.identities_per_unit=4", "plan.fill_to=9"
            ),
            run_units,
            log=quiet,
        )
    assert not store_of(config_of(f"store.url={tmp_path / 'real'}")).list("")
