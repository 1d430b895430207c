"""A lineage in small: made once, skipped the second time, made again where something changed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from factory import checkpoint
from factory.config import load_pipeline
from factory.diffusion.train import train
from factory.errors import CheckpointError, ConfigError, FactoryError, PlanError
from factory.pipeline import Artifact, check_releases, fingerprint_of, resolve, run, shared_location
from factory.planning.budget import Budget
from factory.planning.pace import Pace
from factory.planning.step_decisions import StepDecisions
from factory.shards import layout
from factory.shards.verify import verify
from factory.store import LocalStore
from jobs.evaluate import evaluate
from jobs.release import release
from jobs.train_autoencoder import train_autoencoder
from jobs.train_generator import train_generator
from jobs.train_recognizer import train_recognizer
from tests.conftest import ACCEPT_ALL, PX, tiny_dotlist


def quiet(line: str) -> None:
    """Takes a line and says nothing."""


def runners(calls: list[str]):
    def noted(name, action):
        def call(config, url):
            calls.append(name)
            action(config, url)

        return call

    return {
        "train_recognizer": noted("recognizer", lambda c, _: train_recognizer(c, False)),
        "train_autoencoder": noted("autoencoder", lambda c, _: train_autoencoder(c, False)),
        "train_generator": noted("generator", lambda c, _: train_generator(c, False)),
        "release": noted("release", lambda c, _: release(c, False)),
        "evaluate": noted("evaluation", lambda c, url: evaluate(url, c, False)),
    }


@pytest.fixture
def lineage(people, weights, tmp_path):
    """A pipeline file of one-step trainings of tiny networks, a release and its measurement."""
    (tmp_path / "empty.yaml").write_text("{}\n")
    tiny = [
        item for item in tiny_dotlist(people, weights, tmp_path / "unused") if "store" not in item
    ]
    tiny = [item for item in tiny if not item.startswith(("recognizer", "autoenc", "generator"))]
    tiny += ACCEPT_ALL
    named = ["recognizer.checkpoint={recognizer}", "autoencoder.checkpoint={autoencoder}"]
    learn = ["training.max_steps=1", "compute.precision=fp32"]
    small = ["recognizer.backbone=iresnet_mini", "recognizer.embedding_dim=16"]
    small += ["recognizer.num_virtual=40", "recognizer.batch_size=4"]
    coder = ["autoencoder.widths=[16,16]", "autoencoder.latent_channels=4"]
    coder += ["autoencoder.batch_size=4"]
    made = [*named, "generator.checkpoint={generator}", "identities.max_cosine=1.0"]
    drawer = ["generator.width=32", "generator.depth=3", "generator.num_heads=2"]
    drawer += ["generator.batch_size=4", "generator.num_timesteps=100"]

    def stage(name: str, job: str, *changes: str) -> dict:
        out = [f"training.out={tmp_path / name}"] if job.startswith("train") else []
        return {
            "name": name,
            "job": job,
            "config": str(tmp_path / "empty.yaml"),
            "set": [*tiny, *changes, *out],
            "share": 0.5 if name == "generator" else 0.0,
            "min_steps": 2,
        }

    stages = [
        stage("recognizer", "train_recognizer", *learn, *small),
        stage("autoencoder", "train_autoencoder", *learn, *coder, named[0]),
        stage("generator", "train_generator", *learn, *drawer, *named),
        stage("release", "release", *made),
        stage("evaluation", "evaluate", *made),
    ]
    file = tmp_path / "pipeline.yaml"

    def write(**changes: list[str]) -> str:
        changed = [{**s, "set": s["set"] + changes.get(s["name"], [])} for s in stages]
        body = {"name": "tiny", "store": {"url": str(tmp_path / "store"), "min_free_bytes": 0}}
        file.write_text(yaml.safe_dump({**body, "stages": changed}))
        return str(file)

    return write


ALL = ["recognizer", "autoencoder", "generator", "release", "evaluation"]


def test_from_nothing_to_a_measured_release_and_nothing_twice(lineage, tmp_path):
    calls: list[str] = []
    lines: list[str] = []
    check_releases(load_pipeline(lineage()))
    made = run(load_pipeline(lineage()), runners(calls), lines.append)
    assert calls == ALL
    _check_refused_before(lineage, LocalStore(tmp_path / "store" / "pipelines" / "tiny"))
    finished = LocalStore(made["release"].location)
    assert finished.exists(layout.SUCCESS)
    assert verify(finished) == []

    calls.clear()
    assert run(load_pipeline(lineage()), runners(calls), lines.append) == made
    assert calls == []
    assert lines[-1].startswith("evaluation: made before")

    for lost in ("recognizer", "generator"):  # as on another machine: the store has the weights
        shutil.rmtree(tmp_path / lost)
    assert run(load_pipeline(lineage()), runners(calls), lines.append) == made
    assert calls == []


def _check_refused_before(lineage, records: LocalStore) -> None:
    """A release of other trainings is refused at once; its own, whole or begun, is not."""
    error = (
        r"^release\.version: .*was begun after other trainings or of other faces; want another rel"
    )
    check_releases(load_pipeline(lineage(release=["release.title=x"])))
    other = {"generator": ["training.max_steps=2"]}
    with pytest.raises(PlanError, match=error):
        check_releases(load_pipeline(lineage(**other)))
    check_releases(load_pipeline(lineage(**other, release=["release.version=9.0.0"])))
    whole = records.get("release.json")
    (Path(records.url) / "release.json").unlink()
    check_releases(load_pipeline(lineage()))  # begun, and not finished
    name = "release.tiny.0.1.0.asked"
    asked = records.get(name)
    (Path(records.url) / name).unlink()
    with pytest.raises(PlanError, match=error):
        check_releases(load_pipeline(lineage()))
    records.put("release.json", whole)
    check_releases(load_pipeline(lineage()))  # by an older pipeline
    records.put(name, asked)


def test_a_budget_decides_steps_once_and_a_stage_stays_made(lineage):
    """Whatever the pace is later; the checkpoint holds the steps, and another budget is refused."""
    calls: list[str] = []
    file = lineage(generator=["training.max_steps=9"])

    def made(step_s: float, total_s: float = 60.0) -> dict[str, Artifact]:
        calls.clear()
        pipeline = load_pipeline(file)
        shares = {stage.name: stage.share for stage in pipeline.stages}
        budget = Budget(total_s, shares, lambda: 0.0)
        trains = {"train_generator": train, "train_recognizer": train}

        def find_pace(train, config) -> Pace:
            calls.append("timed")
            return Pace(0.0, step_s)

        decide = StepDecisions(budget, list(shares), trains, quiet, find_pace)
        return run(pipeline, runners(calls), quiet, decide_steps=decide)

    first = made(20.0)
    assert calls == [*ALL[:2], "timed", *ALL[2:]]
    metadata = checkpoint.read_metadata(first["generator"].location, "generator", "k")
    assert metadata["step"] == 3
    assert made(10.0) == first
    assert calls == []
    with pytest.raises(ConfigError, match=r"^--budget: got 2 min, and stage 'generator' was begun"):
        made(10.0, total_s=120.0)


@pytest.mark.s3
def test_a_stage_may_train_into_a_bucket(lineage, s3_config, tmp_path, monkeypatch):
    """And, as on another machine, its weights are brought to another prefix from the records."""
    bucket, calls = s3_config(), []
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint_url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for prefix in ("first", "other"):
        out = f"{bucket.url}/{prefix}"
        made = run(
            load_pipeline(lineage(recognizer=[f"training.out={out}"])), runners(calls), print
        )
        assert made["recognizer"].location == out
        metadata = checkpoint.read_metadata(out, "recognizer", "recognizer.checkpoint")
        assert metadata["sha256"] == made["recognizer"].digest
    assert calls == ALL


def test_weights_in_a_bucket_count_by_what_they_are(lineage, monkeypatch):
    held = {"sha256": "a" * 64}
    monkeypatch.setattr(checkpoint, "digest_in_bucket", lambda url: held["sha256"])
    pipeline = load_pipeline(lineage(recognizer=["judge.checkpoint=s3://models/judge"]))
    stage = pipeline.stages[0]

    def fingerprint() -> str:
        return fingerprint_of(stage, {}, resolve(stage, pipeline, {})[0])

    before = fingerprint()
    assert fingerprint() == before
    held["sha256"] = "b" * 64  # others were put in their place
    assert fingerprint() != before


def test_what_lies_in_a_folder_called_as_the_detector_does_not_count(
    lineage, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pipeline = load_pipeline(lineage())
    stage = pipeline.stages[0]

    def fingerprint() -> str:
        return fingerprint_of(stage, {}, resolve(stage, pipeline, {})[0])

    before = fingerprint()
    (tmp_path / "starter").write_text("anything")
    assert fingerprint() == before


def test_later_stages_read_weights_from_a_bucket_that_an_address_tells(lineage):
    pipeline = load_pipeline(lineage())
    made = {"recognizer": Artifact("runs/r", "d" * 64), "release": Artifact("s3://b/x", "e" * 64)}

    def locations(**store: str | None) -> list[str]:
        stored = replace(pipeline, store=replace(pipeline.store, **store))
        return [shared_location(name, artifact, stored) for name, artifact in made.items()]

    address = "s3://faces/made/pipelines/tiny/recognizer/dddddddddddddddd"
    assert locations(url="s3://faces/made/") == [address, "s3://b/x"]
    assert locations(url="s3://faces/made", endpoint_url="http://h") == ["runs/r", "s3://b/x"]
    assert locations() == ["runs/r", "s3://b/x"]


def test_a_change_makes_again_what_rests_on_it(lineage, tmp_path):
    calls: list[str] = []
    first = run(load_pipeline(lineage()), runners(calls))
    calls.clear()
    newer = [f"training.out={tmp_path / 'newer'}", "training.seed=7"]
    other = {name: ["release.version=0.2.0"] for name in ("release", "evaluation")}
    second = run(load_pipeline(lineage(generator=newer, **other)), runners(calls))
    assert calls == ["generator", "release", "evaluation"]
    assert second["recognizer"] == first["recognizer"]
    assert second["generator"].digest != first["generator"].digest


def test_a_failed_stage_leaves_the_others_whole(lineage):
    calls: list[str] = []
    with pytest.raises(FactoryError, match="source"):
        run(load_pipeline(lineage(release=["source.path=/none"])), runners(calls))
    assert calls == ALL[:3]
    calls.clear()
    run(load_pipeline(lineage()), runners(calls))
    assert calls == ALL[3:]


def test_where_things_lie_and_who_works_does_not_count(lineage, people, weights, tmp_path):
    def prints(*changes: str) -> str:
        pipeline = load_pipeline(lineage(recognizer=list(changes)))
        return fingerprint_of(pipeline.stages[0], {}, resolve(pipeline.stages[0], pipeline, {})[0])

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(people, elsewhere)
    machinery = [f"training.out={tmp_path / 'x'}", "fleet.num_workers=7", "batches.num_workers=1"]
    assert prints() == prints(*machinery, f"source.path={elsewhere}")
    assert prints() != prints("training.seed=1")
    (elsewhere / "person_0" / "0.png").write_bytes(b"another")
    other = prints(f"source.path={elsewhere}")
    assert prints() != other
    (elsewhere / "person_0" / os.fsdecode(b"\xe9.png")).write_bytes(b"no UTF-8")
    assert prints(f"source.path={elsewhere}") not in (prints(), other)
    judge = tmp_path / "judge"
    shutil.copytree(weights / "judge", judge)
    before = prints(f"judge.checkpoint={judge}")
    assert before == prints()  # the same weights at another place
    shutil.copytree(weights / "recognizer", judge, dirs_exist_ok=True)
    assert prints(f"judge.checkpoint={judge}") != before


def test_a_stage_may_learn_from_a_release_before_it(lineage, tmp_path):
    file = lineage(release=[])
    body = yaml.safe_load(Path(file).read_text())
    learn = body["stages"][0]["set"]
    made = [
        *(item for item in learn if not item.startswith(("source", "training.out"))),
        *("source.kind=webdataset", "source.path={release}", f"source.image_px={PX}"),
        f"training.out={tmp_path / 'pupil'}",
    ]
    body["stages"].append({**body["stages"][0], "name": "pupil", "set": made})
    Path(file).write_text(yaml.safe_dump(body))
    calls: list[str] = []
    run(load_pipeline(file), runners(calls))
    assert calls == [*ALL, "recognizer"]
    calls.clear()
    run(load_pipeline(file), runners(calls))
    assert calls == []


def test_other_weights_are_not_overwritten(lineage, weights, tmp_path):
    run(load_pipeline(lineage()), runners([]))
    shutil.rmtree(tmp_path / "recognizer")
    shutil.copytree(weights / "judge", tmp_path / "recognizer")
    with pytest.raises(CheckpointError, match=r"recognizer: .* holds another training"):
        run(load_pipeline(lineage()), runners([]))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("[]", "stages: got none"),
        ("[{name: a b}]", r"stages\[0\]\.name: got 'a b'"),
        ("[{name: a}, {name: a}]", r"stages\[1\]\.name: got 'a'"),
        ("[{name: a, config: none.yaml}]", r"stages\[0\]\.config: no such file"),
        ("[{name: a, set: ['x.y={b}']}]", r"stages\[0\]: 'x.y=\{b\}' names 'b'"),
        ("[{name: a, job: evaluate}]", r"names 'release'; want one of the stages before"),
        ("[{name: a, job: cook}]", "job"),
    ],
)
def test_a_pipeline_is_checked_before_anything_runs(tmp_path, stages, message):
    (tmp_path / "p.yaml").write_text(f"stages: {stages}\n")
    with pytest.raises(ConfigError, match=message):
        load_pipeline(tmp_path / "p.yaml")


def test_the_committed_pipeline_can_be_read(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    assert [stage.name for stage in load_pipeline("configs/pipeline/mini.yaml").stages] == ALL


def test_networks_of_one_size_count_by_their_bytes(lineage, tmp_path):
    """A folder that is no checkpoint of ours: files of networks of one shape have equal sizes."""
    pipeline = load_pipeline(lineage(release=[f"features.clip={tmp_path / 'clip'}"]))
    stage = pipeline.stages[3]
    (tmp_path / "clip").mkdir()
    weights = tmp_path / "clip" / "model.safetensors"

    def fingerprint(data: bytes) -> str:
        weights.write_bytes(data)
        made = {name: Artifact("runs/x", "d" * 64) for name in ALL[:3]}
        return fingerprint_of(stage, made, resolve(stage, pipeline, made)[0])

    assert fingerprint(b"12") == fingerprint(b"12")
    assert fingerprint(b"12") != fingerprint(b"34")
