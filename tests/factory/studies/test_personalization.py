"""The table of objectives: rows are sets and releases, found again, with figures of both sides."""

import numpy as np
import pytest
from PIL import Image

from factory.evaluation.similarity import with_source
from factory.execution import inline
from factory.recognition.train import train
from factory.store import open_store
from factory.studies import personalization
from tests.base_model import save_base
from tests.conftest import PX, draw_face
from tests.factory.synthesis.test_lora_sets import DRAWN, SMALL


@pytest.fixture
def two_rows(monkeypatch):
    kept = {name: personalization.ROWS[name] for name in ("base", "idbooth")}
    monkeypatch.setattr(personalization, "ROWS", kept)
    monkeypatch.setattr(personalization, "PROMPTS", {"plain": personalization.PLAIN})


@pytest.fixture
def beside_others(tmp_path):
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
    two_rows, beside_others, release_config, tmp_path
):
    booth = [f"booth.{item}" for item in SMALL] + [
        f"base_model.path={save_base(tmp_path / 'base')}"
    ]
    config = release_config("identities.num_virtual=0", *DRAWN, *booth, *beside_others)
    table = personalization.compare(config, inline.run_units, train, say=lambda line: None)
    assert list(table) == ["photographs", "base plain", "idbooth plain"]
    for name, row in table.items():
        assert row["by"] == "judge"
        assert 0 <= row["accuracy"]["mean"] <= 1
        for side in personalization.SIDES:
            assert 0 <= row[side]["eer"] <= 1
            assert row[side]["fdr"] >= 0
        if name != "photographs":
            assert list(row["sets"]) == ["source", "bench"]
            assert all(seen["judge"]["fid"] >= 0 for seen in row["sets"].values())
    assert table["base plain"] != table["idbooth plain"]
    said = personalization.lines(table)
    assert len(said) == 4
    assert said[3].startswith("idbooth plain")
    said_again: list[str] = []
    again = personalization.compare(config, inline.run_units, train, say=said_again.append)
    assert again == table
    assert sum("nothing to do" in line for line in said_again) == 2
    assert open_store(config.store).below("tiny-comparison").exists("comparison-0.1.0.json")
    assert not open_store(config.store).below("tiny").list("")  # the user's own are left alone


def test_made_faces_against_photographs_of_the_same_people():
    real = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    made = np.eye(4, dtype=np.float32)[[0, 1, 1]]
    found = with_source(made, np.array([0, 1, 0]), real, np.array([0, 0, 1, 1]))
    assert found["genuine"]["mean"] == pytest.approx(2 / 3)  # the third is drawn as another
    assert found["impostor"]["mean"] == pytest.approx(1 / 3)
    assert found["genuine"]["count"] == found["impostor"]["count"] == 6
