"""A release from config to seal, in one process: same bytes, resume, refusal, verify."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory import checkpoint
from factory.config import SourceConfig
from factory.errors import (
    CheckpointError,
    ConfigError,
    IntegrityError,
    PlanError,
    SourceError,
    StoreError,
)
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout, writer
from factory.shards.verify import verify
from factory.sources import open_source, read_faces
from factory.store import LocalStore
from tests.conftest import IMAGES, PEOPLE, PX, draw_face


def make(config) -> tuple[LocalStore, list[str]]:
    said: list[str] = []
    build(config, run_units, log=said.append)
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    return LocalStore(config.store.url).below(prefix), said


def test_from_config_to_verified_release(release_config):
    store, said = make(release_config())
    assert verify(store) == []
    assert any("kept         12 of 12" in line for line in said)
    body = json.loads(store.get(layout.MANIFEST))
    assert body["counts"]["kept"] == 12
    assert len(body["shards"]) == 3
    latest = json.loads(LocalStore(store.root.parent.parent).get("latest.json"))
    assert latest["version"] == "0.1.0"


def test_no_local_path_time_or_host_in_what_is_sealed(release_config, people, weights):
    store, _ = make(release_config())
    for name in (layout.PLAN, layout.MANIFEST, layout.SUMS, layout.WIDS):
        text = store.get(name).decode()
        assert str(people) not in text
        assert str(weights) not in text
        assert "started_at" not in text


def test_the_report_is_one_page_that_needs_no_network(release_config):
    store, _ = make(release_config("release.title=<b>Tiny & true</b>"))
    page = store.get(layout.REPORT).decode()
    assert "&lt;b&gt;Tiny &amp; true" in page
    assert page.count("<img") == 10  # 4 sheets, 6 plots; no real face unless asked
    for link in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert link.startswith(("data:", "#"))
    card = store.get(layout.CARD).decode()
    assert card.startswith("---\nlicense:")
    assert "whether its faces show somebody real is not established: 12 images" in card


def test_running_again_does_nothing(release_config):
    config = release_config()
    store, _ = make(config)
    before = {name: store.path(name).stat().st_mtime_ns for name in store.list("")}
    again, said = make(config)
    assert said == [f"{store.url} is sealed already; nothing to do"]
    assert before == {name: again.path(name).stat().st_mtime_ns for name in again.list("")}


class Killed(Exception):
    """Stands for a dead driver."""


def killed_after(commits: int):
    """A runner that dies when so many shards are committed."""

    def run(fleet, open_maker, units, on_done, draining, on_state):
        done = 0

        def count(shard):
            nonlocal done
            done += 1
            if done > commits:
                raise Killed
            on_done(shard)

        run_units(fleet, open_maker, units, count)

    return run


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_a_dead_driver_changes_no_byte(release_config, tmp_path, commits):
    whole, _ = make(release_config(f"store.url={tmp_path / 'whole'}"))
    config = release_config(f"store.url={tmp_path / 'torn'}")
    with pytest.raises(Killed):
        build(config, killed_after(commits), log=lambda line: None)
    torn, said = make(config)
    assert any("resuming: " in line or "planned 3" in line for line in said)
    assert torn.get(layout.SUMS) == whole.get(layout.SUMS)


def test_a_half_written_unit_is_made_again(release_config, monkeypatch):
    config = release_config()
    real = writer.commit

    def dies_before_the_record(store, *rest, **named):
        monkeypatch.setattr(LocalStore, "exists", lambda self, name: False)
        original = LocalStore.put_once

        def put_once(self, name, data, sha256=None):
            if name.startswith("_commits"):
                raise Killed
            return original(self, name, data, sha256)

        monkeypatch.setattr(LocalStore, "put_once", put_once)
        return real(store, *rest, **named)

    monkeypatch.setattr(writer, "commit", dies_before_the_record)
    with pytest.raises(Killed):
        build(config, run_units, log=lambda line: None)
    monkeypatch.undo()
    store, _ = make(config)
    assert verify(store) == []


def test_another_plan_under_the_same_version_is_refused(release_config):
    make(release_config())
    with pytest.raises(PlanError, match=r"sampler\.guidance: 1\.5 there, 2\.0 asked for"):
        make(release_config("sampler.guidance=2"))


def test_dry_run_checks_and_writes_nothing(release_config, tmp_path):
    said: list[str] = []
    build(release_config(), run_units, dry_run=True, log=said.append)
    assert "6 virtual identities x 2 images" in said[0]
    assert not (tmp_path / "store").exists()


def test_a_sealed_release_is_a_source(release_config):
    store, _ = make(release_config())
    config = SourceConfig(kind="webdataset", path=str(store.root), image_px=32)
    faces = read_faces(open_source(config), 0.0)
    assert np.bincount(faces.labels).tolist() == [2] * 6
    last = sorted(store.list("data/"))[-1]
    store.put(last, store.get(last) + bytes(512))
    with pytest.raises(IntegrityError, match=r"\.tar has \d+ bytes, and the release has \d+ of it"):
        open_source(config)


def test_filters_reject_and_counts_add_up(release_config):
    config = release_config("filters.min_own_cosine=0.3", "release.max_failed_fraction=0")
    store, _ = make(config)
    counts = json.loads(store.get(layout.MANIFEST))["counts"]
    assert counts["rejected"] > 0
    assert counts["kept"] + counts["rejected"] == counts["planned"] + counts["topups"]
    assert counts["reasons"] == {"low_own_cosine": counts["rejected"]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("recognizer.checkpoint=/none", CheckpointError, r"recognizer\.checkpoint: no checkpoint"),
        ("generator.checkpoint={judge}", CheckpointError, r"generator\.checkpoint.*a recognizer"),
        ("recognizer.checkpoint={copy}", CheckpointError, r"judge\.checkpoint: has the weights"),
        ("source.path=/none", SourceError, r"source\.path: no such"),
        ("identities.num_virtual=41", PlanError, r"identities\.num_virtual: got 41"),
        ("sampler.num_steps=101", ConfigError, r"sampler\.num_steps: got 101"),
        ("store.min_free_bytes=1000000000000000000", StoreError, r"store\.url: .* free"),
        ("store.url=gs://bucket", ConfigError, r"store\.url"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(
    release_config, weights, tmp_path, change, error, message
):
    import shutil

    shutil.copytree(weights / "recognizer", tmp_path / "copy")
    dotlist = [change.format(judge=weights / "judge", copy=tmp_path / "copy")]
    if "copy" in change:
        dotlist.append(f"judge.checkpoint={weights / 'recognizer'}")
    with pytest.raises(error, match=message) as caught:
        make(release_config(*dotlist))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_recognizer_the_generator_was_not_trained_with_is_refused(release_config, weights):
    dotlist = [f"recognizer.checkpoint={weights / 'judge'}", "judge.checkpoint=null"]
    with pytest.raises(CheckpointError, match="the generator was trained with"):
        make(release_config(*dotlist))


def test_altered_weights_are_refused(release_config, weights, tmp_path):
    import shutil

    shutil.copytree(weights / "judge", tmp_path / "judge")
    with (tmp_path / "judge" / "weights.safetensors").open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(CheckpointError, match=r"judge\.checkpoint: .* sha256"):
        make(release_config(f"judge.checkpoint={tmp_path / 'judge'}"))


def test_images_smaller_than_a_recognizer_sees_are_refused(release_config):
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: sees .* 32 px.*at least"):
        make(release_config("source.image_px=24"))


def test_images_of_another_size_than_the_generator_draws_are_refused(release_config):
    with pytest.raises(
        CheckpointError, match=r"generator\.checkpoint: draws images of 32 px;.* 48"
    ):
        make(release_config("source.image_px=48"))


def test_larger_images_than_recognizer_and_judge_see_are_resized_for_them(
    release_config, weights, tmp_path
):
    """The plan says how, and the release passes its own checks."""
    px, folder = 2 * PX, tmp_path / "generator"
    loaded = checkpoint.load(str(weights / "generator"), "generator", "generator.checkpoint")
    shape = loaded.config["shape"] | {"side": px // 4}
    tensors = dict(loaded.tensors)
    tensors["position_1NW"] = tensors["position_1NW"].repeat(1, 4, 1)
    larger = replace(loaded, config=loaded.config | {"shape": shape}, tensors=tensors)
    checkpoint.save(folder, larger)
    for person in range(PEOPLE):
        (tmp_path / f"large/{person}").mkdir(parents=True)
        for image in range(IMAGES):
            face = Image.fromarray(draw_face(person, image, px))
            face.save(tmp_path / f"large/{person}/{image}.png")
    source = (f"source.path={tmp_path / 'large'}", f"source.image_px={px}")
    config = release_config(*source, f"generator.checkpoint={folder}", "features.quality=null")
    store, _ = make(config)
    assert verify(store) == []
    plan = json.loads(store.get(layout.PLAN))
    assert plan["request"]["resize"] == "bilinear, antialiased"
    made = SourceConfig(kind="webdataset", path=str(store.root), image_px=px)
    assert read_faces(open_source(made), 0.0).images_NHWC.shape[1:] == (px, px, 3)
    usual, _ = make(release_config("release.version=0.2.0"))
    assert "resize" not in json.loads(usual.get(layout.PLAN))["request"]


def test_a_dead_driver_before_the_last_mark_is_mended(release_config):
    make(release_config())
    config = release_config("release.version=0.2.0")
    store, _ = make(config)
    store.delete(layout.SUCCESS)  # as if it had died just before
    (store.root.parent.parent / "latest.json").write_text("{}")
    make(config)
    latest = store.root.parent.parent / "latest.json"
    assert json.loads(latest.read_text())["version"] == "0.2.0"
    assert store.exists(layout.SUCCESS)


def test_latest_stays_at_a_newer_version_and_the_log_says_so(release_config):
    store, _ = make(release_config("release.version=0.10.0"))
    said: list[str] = []
    build(release_config("release.version=0.9.0"), run_units, log=said.append)
    assert "latest.json stays at 0.10.0, which is newer than 0.9.0" in said
    latest = json.loads((store.root.parent.parent / "latest.json").read_text())
    assert latest["version"] == "0.10.0"


def test_extras_that_a_dead_driver_left_stale_are_listed_again(release_config):
    config = release_config()
    store, _ = make(config)
    store.put(layout.REPORT, b"measured again")
    assert verify(store)
    make(config)
    assert verify(store) == []


def test_a_committed_shard_that_is_gone_is_not_sealed(release_config):
    config = release_config()
    store, _ = make(config)
    for name in (layout.SUCCESS, layout.SUMS, layout.tar_name(1)):
        store.delete(name)
    with pytest.raises(IntegrityError, match=r"seal: data/train-000001\.tar is gone"):
        make(config)


def test_a_roster_of_other_settings_without_a_plan_says_what_to_do(release_config):
    config = release_config()
    store, _ = make(config)
    for name in (layout.PLAN, layout.SUCCESS):
        store.path(name).unlink()
    with pytest.raises(PlanError, match=r"release\.version: .*choose another version"):
        make(release_config("identities.num_virtual=5"))
