"""The table of objectives: rows are sets and releases, found again, with figures of both sides."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from factory.errors import PlanError
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.metrics.values import MeanStd
from factory.execution import inline
from factory.recognition.train import train
from factory.shards import layout, manifest
from factory.store import open_store
from factory.studies import personalization
from tests.base_model import save_base
from tests.conftest import PX, draw_face
from tests.factory.synthesis.test_lora_sets import DRAWN, SMALL
from tests.measured import full_metrics


@pytest.fixture
def two_rows(monkeypatch):
    rows = {name: personalization.ROWS[name] for name in ("base", "idbooth")}
    monkeypatch.setattr(personalization, "ROWS", rows)
    monkeypatch.setattr(personalization, "PROMPTS", {"plain": personalization.PLAIN})


@pytest.fixture
def measured_beside_others(tmp_path):
    """Dotlist of pairs of two further people, and of a set of their faces to compare with."""
    bench, pairs = tmp_path / "bench", tmp_path / "few.txt"
    for person in ("ann", "bob"):
        (bench / person).mkdir(parents=True)
        for image in (1, 2):
            face = draw_face(ord(person[0]), image)
            Image.fromarray(face).save(bench / person / f"{person}_{image:04d}.png")
    pairs.write_text("2\t1\nann\t1\t2\nann\t1\tbob\t1\nbob\t1\t2\nann\t2\tbob\t2\n")
    faces = f"kind: folder, path: {bench}, image_px: {PX}"
    return [
        f"utility.benchmarks=[{{{faces}, pairs: {pairs}}}]",
        f"features.reference_sets=[{{{faces}}}]",
        f"utility.out={tmp_path / 'utility'}",
        "utility.seeds=[0]",
        "recognizer.backbone=iresnet_mini",
        "recognizer.embedding_dim=8",
        "recognizer.batch_size=4",
        "training.max_steps=2",
    ]


def test_rows_are_made_once_and_say_how_alike_people_are(
    two_rows, measured_beside_others, release_config, tmp_path
):
    recipe = [f"personalization.{item}" for item in SMALL]
    recipe.append(f"base_model.path={save_base(tmp_path / 'base')}")
    config = release_config("identities.num_virtual=0", *DRAWN, *recipe, *measured_beside_others)
    table = personalization.compare(config, inline.run_units, train, log=lambda line: None)
    assert list(table) == ["photographs", "base plain", "idbooth plain"]
    for name, row in table.items():
        assert row.by == "judge"
        assert 0 <= row.accuracy.mean <= 1
        for pairs in (row.made_vs_photographs, row.release):
            assert 0 <= pairs.eer <= 1
            assert pairs.fdr >= 0
        if name != "photographs":
            assert list(row.fidelity) == ["source", "bench"]
            assert all((networks["judge"].fid or 0) >= 0 for networks in row.fidelity.values())
    assert table["base plain"] != table["idbooth plain"]
    text = personalization.lines(table)
    assert len(text) == 4
    assert text[3].startswith("idbooth plain")
    lines: list[str] = []
    again = personalization.compare(config, inline.run_units, train, log=lines.append)
    assert again == table
    assert sum("nothing to do" in line for line in lines) == 2
    comparison = open_store(config.store).below("tiny-comparison")
    written = json.loads(comparison.get("comparison-0.1.0.json"))
    assert written == json.loads(json.dumps(to_json(table)))
    assert not open_store(config.store).below("tiny").list("")  # the user's own are left alone


@pytest.fixture
def measured_release(release_config):
    """(config, store) of a release whose metrics are full_metrics()."""
    config = release_config(
        "features.quality=head",
        f"features.reference_sets=[{{kind: folder, path: x/ffhq, image_px: {PX}}}]",
    )
    store = layout.release_store(config)
    manifest.put_metrics(store, full_metrics().files())
    return config, store


def test_a_row_holds_what_the_judge_says_of_a_release(measured_release):
    config, _ = measured_release
    row = personalization.release_row(config, MeanStd(0.9, 0.01))
    assert row.by == "judge"
    assert row.made_vs_photographs is None  # the judge did not compare them
    assert (row.release.fdr, row.release.genuine.count) == (6.5, 2)
    assert set(row.fidelity["source"]) == {"judge", "inception"}
    assert row.quality.mean == 1.5
    photographs = personalization.photographs_row(config, None)
    assert photographs.release == photographs.made_vs_photographs
    assert (photographs.quality.mean, photographs.accuracy) == (1.7, None)
    text = personalization.lines({"photographs": photographs, "idbooth plain": row})
    assert text[1].split() == ["photographs", *["6.500", "0.022"] * 2, *["n/a"] * 3, "1.700", "n/a"]
    figures = ["n/a", "n/a", "6.500", "0.022", "9.875", "0.620", "0.720", "1.500", "0.900"]
    assert text[2].split() == ["idbooth", "plain", *figures]


def test_metrics_that_lack_what_the_table_shows_are_refused(measured_release):
    config, store = measured_release
    properties = replace(full_metrics().properties, quality=None)
    manifest.put_metrics(store, {"properties": to_json(properties)})
    with pytest.raises(PlanError, match=r"features: .* was measured with others; .* jobs.evaluate"):
        personalization.release_row(config, None)
