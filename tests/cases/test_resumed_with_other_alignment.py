"""What was begun with faces cut in one way is not gone on with in another: the field is named."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.release import build
from factory.shards import layout
from factory.sources import readers
from tests.cases.photographs import off_center, write_points
from tests.conftest import tiny_dotlist
from tests.factory.test_resumed_alignment import EDITED, Killed, dies_after
from tests.unaligned import ShiftDetector, draw_unaligned, write_table

ONE_STEP = (
    "configs/recognizer/mini.yaml",
    "source.license=CC0-1.0",
    "source.holdout_identities=2",
    "compute.compile=false",
    "compute.device=cpu",
    "recognizer.num_virtual=4",
    "recognizer.batch_size=4",
    "training.max_steps=1",
)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training of one step with a table of wrong points: its words, images and table."""
    root = tmp_path_factory.mktemp("training")
    folder = off_center(root / "people", 4, 2)
    table = write_points(root / "points.csv", folder, shift=20)
    words = [*ONE_STEP, f"source.path={folder}", f"source.landmarks={table}"]
    return [*words, f"training.out={root / 'out'}"], folder, table


def test_a_training_with_a_mended_table_is_refused(training, run_job):
    words, folder, table = training
    code, said = run_job("train_recognizer", *words)
    assert code == 0, said
    write_points(table, folder)
    code, said = run_job("train_recognizer", *words)
    assert code
    assert "source.alignment.landmarks" in said
    write_points(table, folder, shift=20)
    for setting, fact in (
        ("source.zoom=0.5", "zoom"),
        ("source.min_face_score=0.7", "min_face_score"),
        ("source.detector=null", "detector"),
        ("source.resize=true", "resize"),
    ):
        code, said = run_job("train_recognizer", *words, "training.max_steps=2", setting)
        assert code
        assert f"source.alignment.{fact}" in said, said
        assert "Traceback" not in said
    assert run_job("train_recognizer", *words)[0] == 0  # the same command is told that it is done


@pytest.fixture
def begun(weights, tmp_path, monkeypatch):
    """The words of a release that died after its first shard, its table and its store."""
    monkeypatch.setattr(readers, "YuNet", ShiftDetector)
    folder = draw_unaligned(tmp_path / "images")
    table = write_table(tmp_path / "points.csv", shift=5)
    words = [*tiny_dotlist(folder, weights, tmp_path / "store"), *EDITED]
    words.append(f"source.landmarks={table}")
    (tmp_path / "release.yaml").write_text("{}\n")
    config = load(tmp_path / "release.yaml", words)
    with pytest.raises(Killed):
        build(config, dies_after(1), log=lambda line: None)
    return [str(tmp_path / "release.yaml"), *words], table, layout.release_store(config)


def test_a_begun_release_with_a_mended_table_is_refused(begun, run_job):
    words, table, store = begun
    before = set(store.list(""))
    write_table(table)
    for settings, fact in (
        ((), "landmarks"),
        (("source.detector=null",), "detector"),
        (("source.min_face_score=0.7",), "landmarks"),
    ):
        code, said = run_job("release", *words, *settings)
        assert code
        assert f"source.alignment.{fact}" in said, said
        assert "Traceback" not in said
    assert set(store.list("")) == before  # nothing was added, nothing sealed
    write_table(table, shift=5)
    code, said = run_job("release", *words)
    assert code == 0, said
    assert store.exists(layout.SUMS)
