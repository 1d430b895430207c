"""A release that was begun with faces aligned in one way is not finished with them in another."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from factory.config import Config, load
from factory.errors import IntegrityError, PlanError
from factory.evaluation import diversity
from factory.execution.inline import run_units
from factory.planning.plan_writer import refuse_other_plan
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards import layout
from factory.shards.plan_files import open_plan, refuse_other_inputs
from factory.shots.plan import canonical
from factory.sources import open_source, readers
from factory.synthesis.maker import ShardMaker
from tests.conftest import PX, tiny_dotlist
from tests.unaligned import ShiftDetector, draw_unaligned, write_table

EDITED = [
    "release.method=edit",
    "editing.method=drawn",
    "release.allow_real=true",
    "identities.num_virtual=0",
    "identities.max_cosine=0.9",
    "plan.identities_per_unit=1",
    "audit.num_rejects=0",
    "judge.checkpoint=null",
]


class Killed(Exception):
    """Stands for a dead driver."""


def dies_after(commits: int):
    """A runner that dies when so many shards are committed."""

    def run(fleet, open_maker, units, on_done, draining, on_state):
        def count(shard):
            nonlocal commits
            commits -= 1
            if commits < 0:
                raise Killed
            on_done(shard)

        run_units(fleet, open_maker, units, count)

    return run


@dataclass
class Begun:
    """A source to align, its files, and how a release of it is asked for."""

    folder: Path
    config: Callable[..., Config]

    @property
    def table(self) -> Path:
        return self.folder / "points.csv"

    @property
    def detector(self) -> Path:
        return self.folder / "finds.onnx"


@pytest.fixture
def begin(weights, tmp_path, monkeypatch):
    """Function of dotlist items -> a release of edits that died after its first commit."""
    for module in (readers, diversity):
        monkeypatch.setattr(module, "YuNet", ShiftDetector)
    draw_unaligned(tmp_path / "images")
    write_table(tmp_path / "points.csv")
    (tmp_path / "finds.onnx").write_text("0")
    (tmp_path / "release.yaml").write_text("{}\n")
    base = tiny_dotlist(tmp_path / "images", weights, tmp_path / "store")

    def make(*dotlist: str, commits: int = 1, edited: bool = True) -> Begun:
        def config(*changes: str) -> Config:
            items = [*base, *(EDITED if edited else []), *dotlist, *changes]
            return load(tmp_path / "release.yaml", items)

        with pytest.raises(Killed):
            build(config(), dies_after(commits), log=lambda line: None)
        return Begun(tmp_path, config)

    return make


def store_of(config: Config):
    return layout.release_store(config)


def finish(config: Config) -> str:
    """SHA256SUMS of a release that the command finished."""
    build(config, run_units, log=lambda line: None)
    return store_of(config).get(layout.SUMS).decode()


def by_table(tmp_path: Path) -> str:
    return f"source.landmarks={tmp_path / 'points.csv'}"


def by_detector(tmp_path: Path) -> str:
    return f"source.detector={tmp_path / 'finds.onnx'}"


CHANGES = {
    "landmarks": (by_table, lambda begun: write_table(begun.table, shift=5), ()),
    "detector": (by_detector, lambda begun: begun.detector.write_text("6"), ()),
    "zoom": (by_table, lambda begun: None, ("source.zoom=0.5",)),
    "resize": (by_table, lambda begun: None, ("source.resize=true",)),
    "max_pixels": (by_table, lambda begun: None, ("source.max_pixels=4000",)),
}
"""By the fact that changes: how faces are aligned, what happens on disk, what is asked for."""


@pytest.mark.parametrize("fact", CHANGES)
def test_a_release_of_edits_is_finished_as_it_was_begun(begin, tmp_path, fact):
    aligned_by, change, settings = CHANGES[fact]
    begun = begin(aligned_by(tmp_path))
    store = store_of(begun.config())
    before = set(store.list(""))
    change(begun)
    with pytest.raises(PlanError, match=rf"source\.alignment\.{fact}: .* there, .* asked for"):
        finish(begun.config(*settings))
    assert set(store.list("")) == before


@pytest.mark.parametrize("fact", CHANGES)
def test_a_maker_that_would_align_otherwise_is_refused(begin, tmp_path, fact):
    """A node whose own copy of a table is an older one makes nothing."""
    aligned_by, change, settings = CHANGES[fact]
    begun = begin(aligned_by(tmp_path))
    change(begun)
    prefix = layout.release_prefix("tiny", "0.1.0")
    with pytest.raises(IntegrityError, match=rf"source\.alignment\.{fact}: "):
        ShardMaker.open(begun.config(*settings), prefix)


def test_an_audit_with_another_table_is_refused(begin, tmp_path):
    begun = begin(by_table(tmp_path))
    config = begun.config()
    plan, _ = open_plan(store_of(config))
    source = open_source(config.source)
    refuse_other_inputs(config, plan, source)
    larger = begun.config(f"source.image_px={2 * PX}")
    with pytest.raises(IntegrityError, match=r"source\.image_px: 32 there, 64 asked for"):
        refuse_other_inputs(larger, plan, source)
    write_table(begun.table, shift=5)
    with pytest.raises(IntegrityError, match=r"source\.alignment\.landmarks: "):
        refuse_other_inputs(config, plan, source)


def test_the_same_files_elsewhere_finish_the_release_to_the_byte(begin, tmp_path):
    begun = begin(by_table(tmp_path))
    whole = finish(begun.config(f"store.url={tmp_path / 'whole'}"))
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(begun.table, moved / "other_name.csv")
    shutil.move(tmp_path / "images", moved / "images")
    there = f"source.landmarks={moved / 'other_name.csv'}", f"source.path={moved / 'images'}"
    assert finish(begun.config(*there)) == whole


def test_people_who_were_kept_away_from_by_another_table_are_refused(begin, tmp_path):
    """Nobody of the source is drawn, but the gate has seen their faces cut in one way."""
    begun = begin(by_table(tmp_path), edited=False)
    write_table(begun.table, shift=5)
    with pytest.raises(PlanError, match=r"source\.alignment\.landmarks"):
        finish(begun.config())


def test_a_detector_beside_faces_that_need_none_changes_nothing(begin, people, tmp_path):
    """Planning has read every image, so all of them had the size: nothing is ever aligned."""
    begun = begin(f"source.path={people}", "source.detector=null")
    whole = finish(begun.config(f"store.url={tmp_path / 'whole'}"))
    assert finish(begun.config(by_detector(tmp_path))) == whole


def forget_alignment(config: Config) -> None:
    """Write the plan as a factory did that kept nothing of it."""
    path = store_of(config).path(layout.PLAN)
    body = json.loads(path.read_text())
    body.pop("plan_hash")
    del body["request"]["source"]["alignment"]
    body["plan_hash"] = hashlib.sha256(canonical(body)).hexdigest()
    path.unlink()
    path.write_text(json.dumps(body))


def test_an_older_plan_of_faces_that_need_no_alignment_is_finished(begin, people):
    begun = begin(f"source.path={people}", commits=0)
    store = store_of(begun.config())
    for name in store.list(""):
        if name not in (layout.PLAN, layout.ROSTER, layout.EMBEDDINGS):
            store.path(name).unlink()  # commits name the hash of the plan
    forget_alignment(begun.config())
    finish(begun.config())
    plan, _ = open_plan(store)
    assert plan.request.source.alignment is None


def test_an_older_plan_of_aligned_faces_is_measured_but_not_gone_on_with(begin, tmp_path):
    begun = begin(by_table(tmp_path))
    config = begun.config()
    forget_alignment(config)
    plan, _ = open_plan(store_of(config))
    refuse_other_inputs(config, plan, open_source(config.source))
    with pytest.raises(PlanError, match=r"source\.alignment: None there"):
        refuse_other_plan(plan, preflight(config), store_of(config))
