"""The table of objectives: rows are sets and releases, found again, with figures of both sides."""

import numpy as np
import pytest

from factory import comparison
from factory.evaluation.similarity import with_source
from factory.store import open_store
from factory.synthesis import inline
from tests.factory.synthesis.test_loras import DRAWN, SMALL
from tests.text_to_image import save_base


@pytest.fixture
def two_rows(monkeypatch):
    kept = {name: comparison.ROWS[name] for name in ("base", "idbooth")}
    monkeypatch.setattr(comparison, "ROWS", kept)
    monkeypatch.setattr(comparison, "PROMPTS", {"plain": comparison.PLAIN})


def test_rows_are_made_once_and_say_how_alike_people_are(two_rows, release_config, tmp_path):
    booth = [f"booth.{item}" for item in SMALL] + [f"booth.base={save_base(tmp_path / 'base')}"]
    config = release_config("identities.num_virtual=0", *DRAWN, *booth)
    table = comparison.compare(config, inline.run_units, say=lambda line: None)
    assert list(table) == ["base plain", "idbooth plain"]
    for row in table.values():
        assert row["by"] == "judge"
        for side in comparison.SIDES:
            assert 0 <= row[side]["eer"] <= 1
            assert row[side]["fdr"] >= 0
        assert row["fid"] >= 0
    assert table["base plain"] != table["idbooth plain"]
    said = comparison.lines(table)
    assert len(said) == 3
    assert said[2].startswith("idbooth plain")
    said_again: list[str] = []
    assert comparison.compare(config, inline.run_units, say=said_again.append) == table
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
