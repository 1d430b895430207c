"""A preview shows what a release will draw, and leaves no trace in its store."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from factory.config import AcceptanceConfig
from factory.errors import ConfigError, PlanError
from factory.preview import UNLIMITED, Preview, PreviewFace, expected_shots, preview
from factory.records import Scores
from factory.report.preview import render_preview
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shards.reader import metadata_rows
from factory.store.parquet import read_table
from factory.synthesis.lora_finetuning import finetune
from tests.real_people import Named, key_of_pseudonyms, run_without_key


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    made = Named.made(tmp_path_factory.mktemp("named"))
    (made.root / "events").mkdir()
    (made.root / "store").mkdir()
    return made


def files(root):
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


def first_round(store):
    """(sha256 of kept faces, reasons of dropped ones), by key."""
    kept, dropped = {}, {}
    for unit in read_plan(store).units:
        rows = metadata_rows(store, unit.index)
        kept |= {row["key"]: row["sha256"] for row in rows if not row["attempt"]}
        rows = read_table(store.get(layout.rejects_name(unit.index))).to_pylist()
        dropped |= {row["key"]: row["reason"] for row in rows if not row["attempt"]}
    return kept, dropped


@pytest.mark.parametrize(
    "method", ["diffusion", "edit", pytest.param("lora", marks=pytest.mark.slow)]
)
def test_a_preview_has_the_bytes_and_verdicts_of_the_release(method, named, tmp_path):
    said: list[str] = []
    with key_of_pseudonyms():
        if method == "lora":
            finetune(named.config(method), run_without_key, log=said.append)
        all_kept = preview(named.config(method), 3, tmp_path / "out", log=said.append)
        assert all_kept.kept_fraction == 1
        half = float(np.median([face.scores.brightness for face in all_kept.faces]))
        drops_half = f"filters.min_brightness={half}"
        config = named.config(method, drops_half)
        before = files(named.root / "store")
        made = preview(config, 3, tmp_path / "out", log=said.append)
        assert files(named.root / "store") == before
    _, store, _ = named.release(method, drops_half, lora_set=False)
    assert made.plan.hash == read_plan(store).hash
    kept, dropped = first_round(store)
    assert len(made.people) == 3
    assert {face.reason for face in made.faces} == {"", "too_dark"}
    for face in made.faces:
        key = face.shot.key
        if face.reason:
            assert dropped[key] == face.reason
        else:
            assert kept[key] == hashlib.sha256(face.encoded).hexdigest()
    shown = {person.index for person in made.people}
    assert {f.shot.key for f in made.faces} == {
        key for key in kept.keys() | dropped.keys() if int(key.partition("_")[0]) in shown
    }
    page = (tmp_path / "out" / "index.html").read_bytes()
    scan = named.scan(config)
    assert scan.data("page", page) == []
    assert scan.data("log", "\n".join(said).encode()) == []
    pictures = re.findall(rb"base64,([^\"]+)", page)
    assert [base64.b64decode(p) for p in pictures] == [face.encoded for face in made.faces]

    # A release that has begun is previewed by its own plan
    with key_of_pseudonyms():
        again = preview(config, 3, tmp_path / "out", log=said.append)
        assert [face.encoded for face in again.faces] == [face.encoded for face in made.faces]
        with pytest.raises(PlanError, match="begun with another plan"):
            preview(replace(config, sampler=replace(config.sampler, num_steps=3)), 3, tmp_path)


@pytest.mark.parametrize(("kept", "drawn"), [(1.0, 100), (0.5, 175), (0.0, 300)])
def test_faces_drawn_in_all_rounds(kept, drawn):
    """100 planned, half kept: 100 + 50 + 25."""
    assert expected_shots(100, kept, 3) == pytest.approx(drawn)


def test_a_folder_in_the_store_and_nobody_are_refused(release_config, tmp_path):
    config = release_config()
    for out in ("store/tiny", "store/tiny/releases/0.1.0/report"):
        with pytest.raises(ConfigError, match=r"--out: got .*want a folder outside"):
            preview(config, 5, tmp_path / out)
    with pytest.raises(ConfigError, match="--preview: got 0"):
        preview(config, 0, tmp_path / "out")
    assert preview(config, 5, tmp_path / "out", dry_run=True, log=lambda _: None) is None
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_no_limit_of_networks_stops_a_preview():
    assert {field.name for field in fields(AcceptanceConfig)} == set(vars(UNLIMITED))
    assert set(vars(UNLIMITED).values()) == {None}


def test_a_dropped_face_is_marked_with_its_reason_in_words(release_config, tmp_path):
    made = preview(release_config(), 1, tmp_path, log=lambda _: None)
    assert isinstance(made, Preview)
    first, second = made.faces
    scores = Scores(0.25, -1, 0.0, 0.0, 0.0, 0.0)
    faces = [
        PreviewFace(first.shot, first.encoded, scores, "nearer_to_another"),
        PreviewFace(second.shot, None, None, "could_not_be_drawn"),
    ]
    page = render_preview("<b>", made.people, faces, ["kept 0 of 2"]).decode()
    assert "<figcaption>0.25 nearer to another</figcaption>" in page
    assert page.count('class="dropped"') == 2
    assert "could not be drawn" in page
    assert page.count("<img") == 1
    assert "<b>" not in page


def test_a_small_release_takes_seconds_in_words():
    """One planned face of .35 s is no 9.6e-05 hours."""
    plan = SimpleNamespace(num_shots=1, request=SimpleNamespace(plan=SimpleNamespace(max_rounds=1)))
    line = Preview(plan, [], [], 0.35).lines(2)[-1]
    assert line.endswith("0.3 s of one process, 0.2 s with 2 (fleet.num_workers)")
