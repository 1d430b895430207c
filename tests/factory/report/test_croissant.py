"""croissant.json as mlcroissant reads it, and the shards as `datasets` reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from factory.report.croissant import render_croissant
from factory.report.page import render_card
from factory.report.rights import addresses, license_file, notice_file
from factory.shards import layout, manifest
from factory.shards.export import export
from factory.shards.reader import iterate_kept
from tests.factory.report.test_page import CONFIG, PLAN
from tests.factory.report.test_privacy import CLEAN, LOOKED, known
from tests.measured import manifest as measured_manifest


@pytest.mark.filterwarnings("ignore")  # because mlcroissant's dependencies warn
def test_mlcroissant_validates_it_and_loads_every_face(release, tmp_path, monkeypatch):
    import mlcroissant
    from etils import epath

    unpacking = "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH"
    monkeypatch.setattr(unpacking, epath.Path(tmp_path))  # what CROISSANT_CACHE would say

    dataset = mlcroissant.Dataset(jsonld=release.root / layout.CROISSANT)
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    plan = manifest.sealed_plan(release)
    expected = {row["key"]: row["identity"] for row, _ in iterate_kept(release, plan)}
    identities = {}
    for record in dataset.records("faces"):
        assert record["faces/image"].size == (32, 32)
        identities[record["faces/key"].decode()] = record["faces/identity"]
    assert identities == expected
    written = json.loads(release.get(layout.CROISSANT))
    assert written["rai:personalSensitiveInformation"]
    assert written["conformsTo"] == "http://mlcommons.org/croissant/1.1"


@pytest.mark.filterwarnings("ignore")
def test_datasets_reads_the_shards_and_the_export(release, tmp_path):
    """In a process of its own, because `datasets` decides on import where its cache lies."""
    export(release, "parquet", tmp_path / "parquet")
    script = f"""
import datasets
def load(kind, files):
    return datasets.load_dataset(kind, data_files=files, split="train")
shards = load("webdataset", "{release.root}/data/train-*.tar")
table = load("parquet", "{tmp_path}/parquet/**/*.parquet")
print([(row["__key__"], row["cls"], row["jpg"].size) for row in shards])
print([(row["key"], row["label"], row["image"].size) for row in table])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plan = manifest.sealed_plan(release)
    expected = [(row["key"], row["identity"], (32, 32)) for row, _ in iterate_kept(release, plan)]
    shards, table = done.stdout.splitlines()
    for line in (shards, table):
        assert sorted(eval(line)) == sorted(expected)


def test_it_carries_license_and_provenance(release):
    written = json.loads(release.get(layout.CROISSANT))
    assert written["usageInfo"]["url"] == layout.LICENSE
    used = written["prov:wasGeneratedBy"]["prov:used"]
    assert [one["prov:type"] for one in used] == ["recognizer", "generator", "autoencoder"]
    recognizer, generator, _ = used
    assert recognizer["@id"] in [one["@id"] for one in generator["prov:wasDerivedFrom"]]
    (source,) = written["prov:wasDerivedFrom"]
    assert source["sc:license"] == "CC0-1.0"


@pytest.mark.filterwarnings("ignore")
def test_license_and_provenance_name_no_more_than_what_is_in_it():
    body = json.loads(render_croissant(CONFIG, PLAN, measured_manifest(), known(CLEAN, LOOKED)))
    assert body["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert [one["prov:type"] for one in body["prov:wasDerivedFrom"]] == ["source"]
    made = body["prov:wasGeneratedBy"]
    assert [one["prov:type"] for one in made["prov:used"]] == ["generator"]
    looked = made["prov:wasInformedBy"]["prov:used"]
    assert [one["prov:type"] for one in looked] == ["detector", "gallery"]
    text = notice_file(PLAN, known(CLEAN, LOOKED).lineage).decode()
    descends, _, looks = text.partition("Networks that only look:")
    assert "generator" in descends
    assert "detector" not in descends
    assert "detector" in looks
    text = render_card(CONFIG, PLAN, measured_manifest(), known(CLEAN, LOOKED)).decode()
    assert (
        text.index("| generator |")
        < text.index("Networks that only look")
        < text.index("| detector |")
    )


def test_addresses_are_indented_in_the_license_file_alone():
    text = license_file(CONFIG, PLAN, known(CLEAN, LOOKED).lineage).decode()
    assert "\nLicense: CC-BY-4.0\n  https://creativecommons.org/licenses/by/4.0/\n" in text
    assert addresses("CC-BY-4.0") == ["https://creativecommons.org/licenses/by/4.0/"]
