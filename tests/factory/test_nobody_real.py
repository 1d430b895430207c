"""No release tells who its real people are: no name, no key of a photograph, no template."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.errors import ConfigError, IntegrityError, PlanError, SourceError
from factory.evaluation.evaluate import evaluate
from factory.execution.inline import run_units
from factory.provenance.pseudonyms import pseudonym
from factory.release import build
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.sources import open_source
from factory.synthesis import editors
from factory.synthesis.lora_finetuning import finetune
from factory.synthesis.lora_loading import lora_units
from factory.synthesis.reproduce import reproduce
from tests.conftest import IMAGES
from tests.real_people import (
    KEY,
    METHODS,
    NAMES,
    Named,
    key_of_pseudonyms,
    on_device_without_key,
    other_source,
    run_without_key,
)

CALLED = [pseudonym(KEY.encode(), name) for name in NAMES]
"""In the order of the source."""


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    return Named.made(tmp_path_factory.mktemp("named"))


@pytest.fixture(scope="module", params=METHODS)
def released(request, named):
    """(method, config, store, lines of the log) of a release of each method."""
    return request.param, *named.release(request.param)


def test_no_template_and_no_name_is_in_any_byte_of_a_release(released, named):
    method, config, store, lines = released
    assert verify(store) == []
    scan = named.scan(config)
    assert scan.folder(store.root) == []
    assert scan.data("log", "\n".join(lines).encode()) == []
    assert scan.folder(named.root / "events") == []
    if method == "lora":
        assert scan.folder(named.root / "store" / "lora" / "loras" / "all") == []
    made = sum(len(metadata_rows(store, unit.index)) for unit in open_plan(store)[0].units)
    assert made  # not nothing was looked at


def test_a_template_and_a_name_that_are_planted_are_found(released, named, tmp_path):
    """In copies of a release's own files."""
    _, config, store, _ = released
    scan, center = named.scan(config), named.centers(config)[0]
    rows = [{"key": "000000_0000", "vector": center.astype(float).tolist()}]
    names = {"roster.npy": _npy(center), "metadata.json": json.dumps(rows).encode()}
    table = pq.read_table(io.BytesIO(store.get(layout.ROSTER))).to_pylist()
    for row, name in zip(table, NAMES * 2, strict=False):
        row["name"] = name
    for place, data in names.items():
        assert any("template of 0 " in one.what for one in scan.data(place, data))
    (tmp_path / "people.json").write_text(json.dumps(table))
    found = {one.what for one in scan.folder(tmp_path)}
    assert {f"name {name}" for name in NAMES[: len(table)]} <= found


def test_nothing_private_is_left_beside_a_published_release(released, named):
    method, _, store, _ = released
    dataset = named.root / "store" / method
    assert {path.name for path in dataset.iterdir()} <= {
        "releases",
        "loras",
        "priors",
        "latest.json",
    }
    assert store.list(layout.VECTORS) == []


def test_roster_calls_people_by_pseudonyms_and_has_vectors_of_virtual_ones(released, named):
    method, config, store, _ = released
    plan, roster = open_plan(store)
    assert plan.request.pseudonyms == "keyed"
    num_virtual = config.identities.num_virtual
    assert len(roster.unit_ND) == roster.num_public == num_virtual
    assert [person.name for person in roster.identities] == [""] * num_virtual + CALLED
    if method == "edit":
        assert roster.identities[1].originals == tuple(
            f"{CALLED[1]}/{i:04d}" for i in range(IMAGES)
        )
        rows = [row for unit in plan.units for row in metadata_rows(store, unit.index)]
        called = {key for person in roster.identities for key in person.originals}
        assert {row["original"] for row in rows} == called


def test_a_pseudonym_key_makes_the_roster_whole_again(released, named):
    method, config, store, _ = released
    with key_of_pseudonyms():
        whole = open_plan(store, config)[1]
    centers = named.centers(config)
    wanted = centers[: len(NAMES)] if method == "diffusion" else centers[len(NAMES) :]
    np.testing.assert_allclose(whole.unit_ND[whole.num_public :], wanted, atol=1e-6)
    source = open_source(config.source)
    assert list(whole.label_of(source.names).values()) == list(range(len(NAMES)))
    assert list(whole.prototype_of(NAMES).values()) == list(range(len(NAMES)))
    if method == "edit":
        assert list(whole.source_keys().values()) == list(source.keys)


def test_a_missing_or_other_pseudonym_key_or_source_is_one_line(released, people):
    _, config, store, _ = released
    with key_of_pseudonyms(None), pytest.raises(ConfigError, match=r"PSEUDONYM_KEY has 0 char"):
        open_plan(store, config)
    with key_of_pseudonyms(KEY + "!"), pytest.raises(IntegrityError, match="is another key than"):
        open_plan(store, config)
    with key_of_pseudonyms(), pytest.raises(IntegrityError, match="holds other faces"):
        open_plan(store, other_source(config, people))


def test_a_published_release_is_measured_and_reproduced_without_a_file_of_templates(
    released, named
):
    _, config, store, _ = released
    plan, before = open_plan(store)[0], set(store.list(""))
    with key_of_pseudonyms():
        sealed = manifest.sealed_manifest(store, plan)
        evaluate(config, open_source(config.source), store, plan, sealed, run_units, lambda _: None)
        row = metadata_rows(store, plan.units[-1].index)[-1]
        assert reproduce(config, store, row["key"]).equal
    assert set(store.list("")) == before
    assert not layout.private_store(store).list("")


def test_templates_that_are_lost_are_made_anew_for_makers_without_the_key(released, named):
    method, _, store, _ = released
    config, lines = named.config(method, "release.version=0.3.0"), list[str]()
    again = layout.release_store(config)
    private = layout.private_store(again)

    def lose(*arguments):
        private.delete(layout.PRIVATE_PEOPLE)
        run_without_key(*arguments)

    def go_on(run):
        build(config, run, on_device=on_device_without_key, log=lines.append)

    with key_of_pseudonyms():
        with pytest.raises(ConfigError, match="PSEUDONYM_KEY has 0 char"):
            go_on(lose)
        private.put(layout.PRIVATE_PEOPLE, b"of another plan")
        with pytest.raises(IntegrityError, match="delete it, and the command"):
            go_on(run_without_key)
        private.delete(layout.PRIVATE_PEOPLE)
        go_on(run_without_key)
    for name in store.list("metadata/"):
        assert again.get(name) == store.get(name)
    assert private.list("") == []
    assert named.scan(config).data("log", "\n".join(lines).encode()) == []


@pytest.mark.parametrize("number", [1, IMAGES], ids=["one", "all of a person"])
def test_an_unreadable_photograph_is_told_without_a_name(number, named, tmp_path):
    people = tmp_path / "people"
    shutil.copytree(named.root / "people", people)
    for file in sorted((people / NAMES[1]).iterdir())[:number]:
        file.write_bytes(b"nothing")
    allowed = 0 if number == 1 else 0.9
    config = named.config("edit", f"source.max_corrupt_fraction={allowed}", "release.version=0.4.0")
    wanted = "image 1 of person 2 in" if number == 1 else "first person 2 in the order of names"
    with key_of_pseudonyms(), pytest.raises(SourceError, match=wanted) as caught:
        build(other_source(config, people), run_units, log=lambda line: None)
    assert named.scan(config).data("error", str(caught.value).encode()) == []


def test_a_release_goes_on_under_its_own_pseudonym_key_alone(released):
    method, config, _, _ = released
    with key_of_pseudonyms(None), pytest.raises(ConfigError, match=r"release\.pseudonyms: FACE_"):
        build(config, run_units, log=lambda line: None)
    other = r"release\.pseudonyms: FACE_FACTORY_PSEUDONYM_KEY is another key than the release"
    with key_of_pseudonyms(KEY + "!"), pytest.raises(PlanError, match=other):
        build(config, run_units, log=lambda line: None)
    if method == "lora":
        with key_of_pseudonyms(KEY + "!"), pytest.raises(PlanError, match=other):
            finetune(config, run_units, log=lambda line: None)
    lines = []
    with key_of_pseudonyms():
        build(config, run_units, log=lines.append)
    assert lines[-1].endswith("is sealed already; nothing to do")


def test_a_quarantined_shot_names_a_pseudonym(named, monkeypatch):
    """What is raised of somebody's photograph goes to quarantine/, to events and to the log."""
    plain = editors.draws_of

    def raising(shot, *arguments):
        if shot.key.endswith("_0001") and arguments[0] == "region":
            name = NAMES[shot.identity]
            raise ValueError(f"/faces/{name}/1.png of {name} is odd") from OSError(2, "", name)
        return plain(shot, *arguments)

    monkeypatch.setattr(editors, "draws_of", raising)
    settings = ["release.version=0.2.0", "release.max_failed_fraction=1", "judge.checkpoint=null"]
    config, store, lines = named.release("edit", *settings)
    texts = [store.get(name).decode() for name in store.list(layout.QUARANTINE)]
    failures = [json.loads(line) for text in texts for line in text.splitlines()]
    assert {failure["shot"]["identity"] for failure in failures} == set(range(len(NAMES)))
    for failure in failures:
        called = CALLED[failure["shot"]["identity"]]
        assert failure["shot"]["original"] == f"{called}/0001"
        assert failure["error"].endswith(f"of {called} is odd')")
    scan = named.scan(config)
    assert scan.folder(store.root) == []
    assert scan.folder(named.root / "events") == []
    assert scan.data("log", "\n".join(lines).encode()) == []


@pytest.mark.slow
@pytest.mark.parametrize("released", ["lora"], indirect=True)
def test_a_set_of_loras_calls_people_otherwise_than_a_release(released, named):
    """A release under pseudonyms of a set that an older factory made by names, and the reverse."""
    _, config, _, _ = released
    by_names = ["personalization.loras=named", "release.pseudonyms=names"]
    finetune(named.config("lora", *by_names), run_units, log=lambda line: None)
    mixed = ("personalization.loras=named", "release.version=0.2.0")
    _, store, _ = named.release("lora", *mixed, lora_set=False)
    assert named.scan(config).folder(store.root) == []
    drawn = open_plan(store)[1].identities
    assert [person.name for person in drawn] == CALLED
    with key_of_pseudonyms():
        assert lora_units(config, open_source(config.source)) == {
            name: unit for unit, name in enumerate(NAMES)
        }


def _npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
