"""What a release descends from: found when it is planned, sealed, held to at every later run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from factory import checkpoint
from factory.config import Config
from factory.errors import ConfigError, PlanError
from factory.execution.inline import run_units
from factory.planning.plan_writer import refuse_other_plan, write_plan
from factory.planning.preflight import preflight
from factory.planning.release_lineage import KNOWN_LOOKERS
from factory.provenance.lineage import (
    NetworkRecord,
    SourceRecord,
    networks_to_list,
    read_lineage,
)
from factory.provenance.networks import provenance
from factory.release import build
from factory.shards import layout
from factory.shards.export import KINDS, export
from factory.shards.lineage import refuse_other_lineage
from factory.shards.manifest import read_plan
from factory.shards.verify import verify


def quiet(line: str) -> None:
    pass


def told(weights, folder, license: str):
    """Copies of the tiny networks that tell what they learned from: one set, under a license."""
    shutil.copytree(weights, folder)
    learned = SourceRecord("folder", "f", 184, 92, True, license, f"by {license}")
    records, names = {}, ("recognizer", "autoencoder", "generator")
    for name in names:
        file = folder / name / checkpoint.METADATA
        metadata = json.loads(file.read_text())
        lineage = metadata["lineage"]
        own, *_ = provenance(Config(), name, [learned], lineage)
        own["sha256"] = metadata["sha256"]
        records[own["sha256"]] = own
        metadata["provenance"] = [own, *(records[digest] for digest in lineage.values())]
        file.write_text(json.dumps(metadata))
    return [f"{name}.checkpoint={folder / name}" for name in names]


def test_all_that_made_a_release_is_told_and_sealed(release_config, weights, tmp_path):
    networks = told(weights, tmp_path / "told", "CC-BY-4.0")
    config = release_config(*networks, "release.license=CC-BY-4.0", "source.attribution=Ada")
    build(config, run_units, log=quiet)
    store = layout.release_store(config)
    assert f"  {layout.LINEAGE}\n" in store.get(layout.SUMS).decode()
    assert verify(store) == []
    lineage = read_lineage(store)
    *drawing, detector = lineage.networks
    assert [one.role for one in drawing] == ["recognizer", "generator", "autoencoder"]
    assert (detector.role, detector.license) == ("detector", "Apache-2.0")
    assert {one.learned_from[0].num_people for one in drawing} == {92}
    (source,) = lineage.sources
    assert (source.num_images, source.num_people, source.license) == (12, 4, "CC0-1.0")
    metrics = json.loads(store.get(layout.metrics_name("lineage")))
    assert (metrics["license"], metrics["effective_license"]) == ("CC-BY-4.0", "CC-BY-4.0")
    card = store.get(layout.CARD).decode()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert card.count("| 184 | 92 | people who exist | CC-BY-4.0 |") == 3
    extras = store.get(layout.EXTRA_SUMS).decode()
    assert all(f"  {name}\n" in extras for name in layout.ABOUT)
    for name in (layout.LICENSE, layout.NOTICE):
        assert b"CC-BY-4.0" in store.get(name)
    for credit in (b"- Ada\n", b"- by CC-BY-4.0\n"):
        assert credit in store.get(layout.NOTICE)
    for kind in KINDS:
        export(store, kind, tmp_path / kind)
        exported = (tmp_path / kind / layout.CARD).read_text()
        assert exported.startswith("---\nlicense: cc-by-4.0\n")
        assert re.search(rf"\n---\nExported from \S+ \S+ as {kind}\. ", exported)
        assert "/train-*.tar" not in exported.partition("\n---\n")[0]  # which are not there
        for name in (layout.LICENSE, layout.NOTICE, layout.LINEAGE):
            assert (tmp_path / kind / name).read_bytes() == store.get(name)
    lines, sums = [], store.get(layout.SUMS)
    again = ["release.license=CC-BY-4.0", "source.attribution=Bob"]
    build(release_config(*networks, *again), run_units, log=lines.append)  # nothing can change it
    assert "nothing to do, and its lineage.json stays (sources" in lines[-1]
    assert "attribution: 'Ada' there, 'Bob' asked for" in lines[-1]
    assert (store.get(layout.SUMS), verify(store)) == (sums, [])
    store.delete(layout.SUCCESS)
    with pytest.raises(PlanError, match=r"another lineage \(sources.*attribution: 'Ada' there"):
        build(release_config(*networks, *again), run_units, log=quiet)


def test_a_wider_license_is_refused_before_anything_is_made(release_config, weights, tmp_path):
    networks = told(weights, tmp_path / "told", "research-only")
    with pytest.raises(ConfigError) as error:
        preflight(release_config(*networks, "release.license=mit"))
    short = {
        name: checkpoint.any_metadata(str(weights / name))["sha256"][:6]
        for name in ("recognizer", "generator")
    }
    assert str(error.value) == (
        "release.license: mit is wider than research-only: source (research-only) -> recognizer "
        f"{short['recognizer']} -> generator {short['generator']}; want research-only, other or "
        "unknown"
    )
    preflight(release_config(*networks, "release.license=research-only"))
    preflight(release_config(*networks, "source.license=CC-BY-NC-4.0"))  # other grants nothing


def test_networks_that_tell_nothing_let_no_license_be_granted(release_config):
    with pytest.raises(
        ConfigError, match=r"mit is wider than unknown: recognizer \w{6} \(unknown\)"
    ):
        preflight(release_config("release.license=mit"))


def test_the_license_of_a_source_is_asked_for_at_preflight(release_config):
    with pytest.raises(ConfigError, match=r"^source\.license: nothing given"):
        preflight(release_config("source.license=null"))


def test_a_release_goes_on_with_the_license_it_was_begun_with(release_config):
    config = release_config()
    store = layout.release_store(config)
    plan = write_plan(config, preflight(config), store)
    refuse_other_plan(plan, preflight(config), store)
    other = preflight(release_config("source.license=unknown"))
    with pytest.raises(PlanError, match=r"license: 'CC0-1.0' there, 'unknown' asked for\)"):
        refuse_other_plan(plan, other, store)
    stated = preflight(release_config("release.license=unknown"))
    with pytest.raises(PlanError, match=r"\(license: 'other' there, 'unknown' asked for\)"):
        refuse_other_plan(plan, stated, store)
    store.delete(layout.LINEAGE)  # as an older factory left it
    refuse_other_plan(plan, other, store)


def test_a_release_goes_on_where_people_renewed_their_consent(release_config, tmp_path):
    ledger = tmp_path / "consent.csv"

    def asked(until: str, basis: str = "signed consent"):
        people = "".join(f"person_{i},{basis},{until}\n" for i in range(4))
        ledger.write_text(f"person,basis,until\n{people}")
        return config, preflight(config)

    config = release_config(f"source.consent={ledger}")
    store = layout.release_store(config)
    first = asked("2999-01-01")[1].lineage
    store.put(layout.LINEAGE, first.to_json())  # a driver died here
    plan = write_plan(*asked("2999-06-06"), store)
    later = asked("2999-12-31", "contract")[1]
    assert later.lineage != first
    refuse_other_plan(plan, later, store)
    assert read_lineage(store) == first
    told = replace(first, networks=(NetworkRecord("generator", "a", first.sources),))
    renewed = replace(told, networks=(NetworkRecord("generator", "a", later.lineage.sources),))
    store.put(layout.LINEAGE, told.to_json())
    refuse_other_lineage(store, renewed)


def test_a_lineage_without_a_plan_is_refused_or_gone_on_from(release_config):
    config = release_config()
    store = layout.release_store(config)
    store.put(layout.LINEAGE, preflight(config).lineage.to_json())  # a driver died here
    with pytest.raises(PlanError, match="another lineage"):
        write_plan(config, preflight(release_config("release.license=unknown")), store)
    assert read_plan(store) is None
    write_plan(config, preflight(config), store)


def test_records_are_plain_json(release_config):
    lineage = preflight(release_config()).lineage
    assert json.loads(lineage.to_json())["networks"] == json.loads(
        json.dumps(networks_to_list(lineage.networks))
    )


def test_faces_of_an_inquiry_take_no_right_from_the_source(release_config, people, tmp_path):
    ledger = tmp_path / "consent.csv"
    names = sorted(folder.name for folder in people.iterdir())
    ledger.write_text("person,basis,until\n" + "".join(f"{n},signed,\n" for n in names))
    items = ["identities.proposal=inquiry", f"identities.inquiry={people}"]
    items += ["identities.num_virtual=2", "source.license=CC0-1.0", "source.attribution=Ada"]
    items += [
        "source.real_people=false",
        f"source.consent={ledger}",
        "identities.max_cosine=0.9999",
    ]
    inputs = preflight(release_config(*items))
    source, inquiry = inputs.lineage.sources
    assert (source.license, source.attribution, source.real_people) == ("CC0-1.0", "Ada", False)
    assert (inquiry.license, inquiry.attribution, inquiry.real_people) == ("unknown", "", True)
    assert source.consent
    assert (inquiry.consent, inquiry.consent_sha256) == ({}, "")
    told = preflight(release_config(*items, "identities.inquiry_license=CC-BY-4.0"))
    assert told.lineage.sources[1].license == "CC-BY-4.0"
    assert told.request.to_dict() == inputs.request.to_dict()
    assert "inquiry_license" not in told.request.to_dict()["identities"]
    with pytest.raises(ConfigError, match=r"^identities\.inquiry_license: got 'mine'; want one of"):
        preflight(release_config(*items, "identities.inquiry_license=mine"))


def test_digests_of_known_detectors_are_whole_and_those_of_the_files():
    assert [len(digest) for digest in KNOWN_LOOKERS] == [64]
    file = Path(__file__).parents[4] / "shared/data/models/yunet_n_640_640.onnx"
    if not file.exists():
        pytest.skip(f"{file} is not there: the detector itself cannot be compared")
    assert KNOWN_LOOKERS[checkpoint.file_sha256(file)] == "Apache-2.0"
