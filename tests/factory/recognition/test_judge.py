"""Which recognizer judges, by whether photographs are in the source."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from factory.config import Config, JudgeConfig, SourceConfig
from factory.errors import CheckpointError
from factory.planning.preflight import check_weights
from factory.provenance.lineage import FILE, Lineage, NetworkRecord, SourceRecord
from factory.recognition.judge import describe_judge, judge_of
from factory.store import LocalStore
from tests.releases import seal_again, write_release

RENDERED = Config()
PHOTOGRAPHS = replace(RENDERED, source=replace(RENDERED.source, real_people=True))


def test_judge_power_begins_with_a_judge_that_knows_such_faces():
    assert RENDERED.judge.checkpoint == "auto"
    assert judge_of(RENDERED) == "starter:judge"
    assert judge_of(PHOTOGRAPHS) == "dlib"


def test_a_release_that_descends_from_photographs_is_judged_as_these_are(tmp_path):
    store = LocalStore(tmp_path / "drawn")
    write_release(store, [2], 3)
    config = replace(RENDERED, source=SourceConfig(kind="webdataset", path=str(store.root)))
    assert judge_of(config) == "dlib"  # an older factory's, which tells nothing
    for real, judge in ((True, "dlib"), (False, "starter:judge")):
        faces = SourceRecord("folder", "f", 5, 2, real)
        store.put(FILE, Lineage((), (NetworkRecord("generator", "a", (faces,)),)).to_json())
        seal_again(store)
        assert judge_of(config) == judge


@pytest.mark.parametrize("name", [None, "starter:judge", "buffalo_l"])
def test_a_judge_that_is_named_stays(name):
    assert judge_of(replace(PHOTOGRAPHS, judge=JudgeConfig(checkpoint=name))) == name


def test_a_missing_extra_is_one_line_with_the_ways_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(CheckpointError) as caught:
        check_weights(PHOTOGRAPHS)
    text = str(caught.value)
    assert text.startswith("judge.checkpoint: auto is dlib for this source")
    for part in ("pip install 'face-factory[eval]'", "judge.checkpoint=PATH", "=null"):
        assert part in text
    assert "\n" not in text
    check_weights(RENDERED)
    assert describe_judge(replace(PHOTOGRAPHS, judge=JudgeConfig(checkpoint=None))) is None
    named = replace(PHOTOGRAPHS, judge=JudgeConfig(checkpoint="dlib"))
    with pytest.raises(CheckpointError, match=r"^dlib-bin is not installed"):
        describe_judge(named)
