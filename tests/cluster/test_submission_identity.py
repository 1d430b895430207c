"""One thing made is one submission, however it is made; other things are others."""

from __future__ import annotations

import dataclasses

import pytest

from cluster import submission
from cluster.submission_identity import DECIDES
from factory.config import Config, load, load_claim, load_pipeline
from jobs._catalog import find
from tests.cluster.test_submission import DEMO, FakeServer

URL = "store.url=s3://faces/made"


def name_of(*changes: str, job: str = "release") -> str:
    config = load(DEMO, [URL, *changes])
    return submission.request(job, [DEMO], {}, {DEMO: config}, find(job).reads).name


@pytest.mark.parametrize(
    "change",
    [
        "fleet.num_workers=7",
        "fleet.min_workers=2",
        "fleet.gpus_per_actor=0.5",
        "fleet.deadline_s=60",
        "estimate.actor_hour=0.9",
        "store.max_attempts=3",
        "store.timeout_s=5",
        "store.path_style=true",
        "store.url=s3://faces/made/",
        "compute.num_ranks=8",
        "compute.max_restarts=9",
        "training.out=elsewhere",
    ],
)
def test_a_release_made_in_another_way_is_the_same(change):
    assert name_of(change) == name_of()


@pytest.mark.parametrize(
    "change",
    [
        "release.seed=1",
        "release.dataset=other",
        "release.version=0.2.0",
        "store.url=s3://faces/other",
        "store.endpoint_url=http://other",
        "plan.images_per_identity=3",
        "identities.num_virtual=3",
        "sampler.guidance=2",
        "filters.min_own_cosine=0.1",
        "shards.jpeg_quality=50",
        "compute.precision=fp32",
        "generator.checkpoint=other",
    ],
)
def test_another_release_is_another(change):
    assert name_of(change) != name_of()


def test_a_training_is_known_by_its_folder_seed_and_recipe():
    def training(*changes: str) -> str:
        return name_of(*changes, job="train_generator")

    for how in ("compute.num_ranks=8", "compute.accumulate=2", "training.save_every_s=9"):
        assert training(how) == training()
    for unread in ("release.version=9.0.0", URL + "/x", "filters.min_own_cosine=0.1"):
        assert training(unread).rpartition("-")[2] == training().rpartition("-")[2]
    for what in ("training.out=b", "training.seed=1", "generator.lr=0.5", "training.max_steps=3"):
        assert training(what) != training()


def test_who_submits_with_other_workers_joins_what_runs_and_another_seed_does_not():
    def submit(server: FakeServer, *changes: str) -> list[str]:
        lines: list[str] = []
        config = load(DEMO, [URL, *changes])
        asked = submission.request("release", [DEMO], {}, {DEMO: config}, find("release").reads)
        submission.run(server, asked, 1, lines.append, 0)
        return lines

    server = FakeServer([("SUCCEEDED", 0), ("SUCCEEDED", 0)])
    running = name_of("fleet.num_workers=64") + "-0"
    server.jobs[running] = [0, ("SUCCEEDED", 0)]
    assert submit(server, "fleet.num_workers=8")[0] == f"following {running}, {submission.JOINED}"
    assert not server.submitted
    server.jobs[running] = [0, ("SUCCEEDED", 0)]
    assert submit(server, "release.seed=5")[0].startswith("submitted ")


@pytest.mark.parametrize(
    ("frame", "reader"),
    [
        ("name: mine\nstages: [{{name: a, config: configs/s.yaml, set: [{0}]}}]\n", load_pipeline),
        (
            "finding: x\nnot_yet: y\narms: {{a: {{config: configs/s.yaml, set: [{0}]}}}}\n",
            load_claim,
        ),
        (
            "finding: x\nnot_yet: y\n"
            "arms: {{a: {{config: configs/q.yaml, release: configs/s.yaml, "
            "release_set: [{0}]}}}}\n",
            load_claim,
        ),
    ],
)
def test_stages_and_arms_are_known_by_what_they_make(frame, reader, tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    file, stage = "configs/p.yaml", tmp_path / "configs/s.yaml"
    (tmp_path / "configs/q.yaml").write_text("{}")

    def name(change: str, text: str = "{}") -> str:
        (tmp_path / file).write_text(frame.format(change))
        stage.write_text(text)
        return submission.request("pipeline", [file], {}, {file: reader(file)}).name

    plain = name("")
    assert name("fleet.num_workers=3", "fleet: {max_unit_deaths: 9}") == plain
    assert name("", "release: {seed: 1}") != plain
    assert name("release.seed=1") != plain
    assert name("release.seed=1") == name("", "release: {seed: 1}")


def test_the_table_names_keys_that_there_are():
    whole = Config()
    for section, keys in DECIDES.items():
        names = {field.name for field in dataclasses.fields(getattr(whole, section))}
        assert set(keys) < names
