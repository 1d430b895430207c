"""A training whose states are in a bucket: resumed elsewhere, cut in half, and begun twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from factory.checkpoint import load as load_checkpoint
from factory.config import RecognizerConfig, StoreConfig, TrainingConfig, load
from factory.errors import CheckpointError, StoreError
from factory.recognition.class_shards import RankRows
from factory.recognition.train import train
from factory.store import open_store
from factory.training.bucket_states import BucketStates, latest_in_bucket
from factory.training.distributed import rank
from factory.training.run_state import RunState
from tests.conftest import PX
from tests.ranks import run_ranks

RECIPE = [
    "source.kind=folder",
    f"source.image_px={PX}",
    "compute.device=cpu",
    "compute.precision=fp32",
    "training.log_every=1",
    "training.save_every_s=0",
    "training.max_steps=12",
    "recognizer.backbone=iresnet_mini",
    "recognizer.batch_norm=frozen",
    "recognizer.embedding_dim=16",
    "recognizer.num_virtual=8",
    "recognizer.batch_size=6",
    "recognizer.epochs=100",
    "recognizer.margin_m=0.2",
    "recognizer.scale=16",
    "recognizer.ema=0.5",
    "recognizer.lr=0.01",
]

pytestmark = pytest.mark.s3


@pytest.fixture
def bucket(s3_config, monkeypatch):
    """A prefix of one test in a real bucket, at the endpoint that AWS's variables name."""
    config = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", config.endpoint_url)
    return open_store(config)


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Function of a name: this process, and those that it starts, are on a node of that name."""

    def move(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name / "face-factory"

    move("first")
    return move


def quiet(line):
    return None


def saves(value):
    """A function that saves one file of one line."""
    return lambda folder: (folder / f"value-{rank()}.txt").write_text(str(value))


def run(url, total, *, value="v", save_every_s=1e6, stop_after=None):
    """A training of no weights on one process."""
    training = TrainingConfig(out=url, log_every=1, save_every_s=save_every_s)
    state, taken = RunState(training, RecognizerConfig(), "faces", quiet), []
    for step in state.steps(total, 4, saves(value)):
        if step == stop_after:
            break
        taken.append(step)
        state.record(torch.tensor(float(step)))
    return taken, state


def names(bucket):
    """What the bucket holds, without the number of the gang."""
    return sorted(
        "/".join(part[:13] if part.startswith("step-") else part for part in name.split("/"))
        for name in bucket.list("")
    )


def test_a_state_is_one_whole_and_the_older_ones_go(bucket, caches):
    taken, state = run(bucket.url, 2, save_every_s=0.0)
    files = ["history.jsonl", "part-00000.json", "progress.json", "value-0.txt"]
    step = [f"resume/step-00000002/{file}" for file in files]
    assert taken == [0, 1]
    assert names(bucket) == ["history.jsonl", "resume/latest", *step]
    first = latest_in_bucket(bucket)
    taken, state = run(bucket.url, 3)
    assert taken == [2]
    assert latest_in_bucket(bucket).startswith("step-00000003-")
    assert latest_in_bucket(bucket).split("-")[2] != first.split("-")[2]
    history = bucket.get("history.jsonl").decode().splitlines()
    assert [json.loads(line)["step"] for line in history] == [1, 2, 3]
    assert (state.last_state() / "value-0.txt").read_text() == "v"


def test_results_land_in_the_bucket_and_nothing_stays_on_the_node(bucket, caches):
    _, state = run(bucket.url, 1)
    (state.out / "sheets").mkdir()
    (state.out / "sheets" / "1.png").write_bytes(b"png")
    (state.out / "checkpoint.json").write_bytes(b"{}")
    state.last_state()
    state.finish()
    assert bucket.get("sheets/1.png") == b"png"
    assert bucket.get("checkpoint.json") == b"{}"
    del state
    left = [file for file in caches("first").rglob("*") if file.name != ".lock"]
    assert not [file for file in left if file.is_file()]


def test_the_space_of_a_killed_process_is_given_back(bucket, caches):
    root = caches("first") / "trainings"
    dead = root / "dead"
    dead.mkdir(parents=True)
    (dead / ".lock").touch()
    (dead / "engine.pt").touch()
    _, living = run(bucket.url, 1)
    run(bucket.url, 1)
    assert not dead.exists()
    assert living.out.is_dir()


def test_the_second_of_two_gangs_loses_at_its_first_save_of_latest(bucket, caches):
    """Both begin from nothing; then both from the same state."""
    for begun in (0, 2):
        training = TrainingConfig(out=bucket.url, log_every=1, save_every_s=1e6)
        late = RunState(training, RecognizerConfig(), "faces", quiet)
        steps = late.steps(begun + 2, 4, saves("late"))
        assert next(steps) == begun
        run(bucket.url, begun + 2, value="first")
        won = latest_in_bucket(bucket)
        late.record(torch.tensor(0.0))
        assert next(steps) == begun + 1
        late.record(torch.tensor(0.0))
        with pytest.raises(CheckpointError, match=rf"training\.out: .* another gang.* {won}; this"):
            next(steps)
        assert latest_in_bucket(bucket) == won
        assert bucket.get(f"resume/{won}/value-0.txt") == b"first"
        assert run(bucket.url, begun + 2)[0] == []  # which is whole still


def test_a_slow_winner_does_not_delete_what_came_after_it(bucket, caches):
    """A gang goes on from a state between the writer's swap and its deleting."""

    class Slow:
        """Runs a training from the new state as soon as it is the last one."""

        def __init__(self, store):
            self._store = store

        def __getattr__(self, name):
            return getattr(self._store, name)

        def swap(self, name, expected, data):
            won = self._store.swap(name, expected, data)
            run(bucket.url, 9, value="after")
            return won

    run(bucket.url, 1, value="before")
    states = BucketStates(Slow(bucket), quiet)
    (states.latest(lambda name: True), states.loaded())
    recipe = json.loads(bucket.get(f"resume/{latest_in_bucket(bucket)}/progress.json"))["recipe"]
    progress = {"step": 2, "seconds": 0.0, "recipe": recipe, "losses": []}
    states.save(2, saves("slow"), lambda: progress)
    assert latest_in_bucket(bucket).startswith("step-00000009")
    assert run(bucket.url, 9)[0] == []
    assert bucket.get(f"resume/{latest_in_bucket(bucket)}/value-0.txt") == b"after"


class Losing:
    """A store that says yes and forgets names of the second state that end in `lost`."""

    def __init__(self, store, lost: str) -> None:
        self._store, self._lost = store, lost

    def __getattr__(self, name):
        return getattr(self._store, name)

    def put_once(self, name, data, sha256=None):
        if "step-00000002" in name and name.endswith(self._lost):
            return True
        return self._store.put_once(name, data, sha256)


def lose_a_part(url: str, lost: str) -> None:
    """Two ranks save a first state, then one of which rank 1's file or part goes astray."""
    states = BucketStates(Losing(open_store(StoreConfig(url=url)), lost), quiet)
    states.save(1, saves("v"), dict)
    states.save(2, saves("v"), dict)


@pytest.mark.parametrize("lost", ["part-00001.json", "value-1.txt"])
def test_latest_stays_where_it_is_while_a_rank_s_part_is_missing(bucket, caches, lost):
    with pytest.raises(AssertionError) as failed:
        run_ranks(f"{__name__}:lose_a_part", 2, {"url": bucket.url, "lost": lost})
    for number in range(2):
        assert f"rank {number}: error: training.out: {bucket.url}: " in str(failed.value)
    assert "missing" in str(failed.value)
    assert latest_in_bucket(bucket).startswith("step-00000001-")


def test_a_state_that_lost_a_file_later_is_refused(bucket, caches):
    run(bucket.url, 1)
    name = f"resume/{latest_in_bucket(bucket)}/value-0.txt"
    content = bucket.get(name)
    bucket.put(name, b"other")
    with pytest.raises(CheckpointError, match=r"value-0\.txt has sha256 .* restore it, or begin"):
        run(bucket.url, 2)
    bucket.delete(name)
    with pytest.raises(CheckpointError, match=r"training\.out: .* lacks value-0\.txt, so this"):
        run(bucket.url, 2)
    bucket.put(name, content)
    assert run(bucket.url, 2)[0] == [1]


def test_a_bucket_without_conditional_writes_is_refused(bucket, caches):
    def probe():
        raise StoreError("store.url: ignores If-None-Match")

    bucket.probe = probe
    with pytest.raises(StoreError, match="ignores"):
        BucketStates(bucket, quiet)


def test_no_room_for_a_state_is_one_line(bucket, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"make room, or set XDG_CACHE_HOME"):
        BucketStates(bucket, quiet)


def test_a_rank_fetches_the_rows_that_it_holds(bucket, caches):
    rows = RankRows.of(10, 6, 1, 2)  # real 5..10, virtual 3..6
    files = ["engine.pt", "real-000000000-000000005.safetensors", "moving.st"]
    files += ["real-000000004-000000008.safetensors", "virtual-000000000-000000003.safetensors"]
    files += ["virtual-000000003-000000006.safetensors", "real-head.pt"]
    wanted = [file for file in files if rows.may_lie_in(file)]
    assert wanted == [files[0], files[2], files[3], files[5], files[6]]
    states = BucketStates(bucket, quiet)
    states.save(1, lambda folder: [(folder / f).touch() for f in files] and None, dict)
    copy = BucketStates(bucket, quiet).latest(rows.may_lie_in)
    assert sorted(file.name for file in copy.iterdir() if file.name[0] != ".") == sorted(
        [*wanted, "progress.json"]
    )


def recipe_of(arguments, folder):
    file = folder / f"c{rank()}.yaml"
    file.write_text("{}\n")
    return load(file, arguments)


def assert_equal_weights(one: str, other: str) -> None:
    one, other = (load_checkpoint(name, "recognizer", "k").tensors for name in (one, other))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def train_and_die(folder: str, arguments: list[str], where: str) -> None:
    """Kill this process in step 5, before its state is saved or while it is."""
    from factory.store.s3 import S3Store

    put_once = S3Store.put_once

    def put_or_die(self, name, data, sha256=None):
        if where == "in a save" and "step-00000005" in name and "moving" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        return put_once(self, name, data, sha256)

    def log(line):
        if where == "before a save" and line.startswith("step 5/"):
            os.kill(os.getpid(), signal.SIGKILL)

    S3Store.put_once = put_or_die
    train(recipe_of(arguments, Path(folder)), log)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["before a save", "in a save"])
def test_kill_9_and_a_resume_on_another_node_give_the_weights_of_one_run(
    bucket, caches, people, tmp_path, where
):
    """A process is killed while it trains; another, whose cache is empty, goes on."""
    same = [*RECIPE, f"source.path={people}"]
    there = [*same, f"training.out={bucket.url}"]
    arguments = {"folder": str(tmp_path), "arguments": there, "where": where}
    with pytest.raises(AssertionError, match="rank 0"):
        run_ranks(f"{__name__}:train_and_die", 1, arguments)
    assert latest_in_bucket(bucket).startswith("step-00000004-")
    half = [name for name in bucket.list("resume/") if "step-00000005" in name]
    assert bool(half) == (where == "in a save")
    cache, lines = caches("second"), []
    assert not cache.exists()
    train(recipe_of(there, tmp_path), lines.append)
    assert any(line.startswith("step 5/12") for line in lines)
    assert not any(line.startswith("step 4/12") for line in lines)
    steps = [json.loads(line)["step"] for line in bucket.get("history.jsonl").splitlines()]
    assert steps == list(range(1, 13))
    assert {name.split("/")[1] for name in bucket.list("resume/step-")} == {
        latest_in_bucket(bucket)
    }
    train(recipe_of([*same, f"training.out={tmp_path / 'alone'}"], tmp_path), quiet)
    assert_equal_weights(bucket.url, str(tmp_path / "alone"))


def train_some(folder: str, arguments: list[str]) -> None:
    """Train on this rank, as on a node of its own."""
    os.environ["XDG_CACHE_HOME"] = f"{folder}/node-{rank()}"
    train(recipe_of(arguments, Path(folder)), quiet)


def losses(history: bytes) -> list[float]:
    return [json.loads(line)["loss"] for line in history.splitlines()]


@pytest.mark.timeout(300)
def test_two_ranks_on_nodes_that_share_no_folder_and_then_one(bucket, caches, people, tmp_path):
    """Six steps by two ranks, whose rows are objects of their own; the rest by one process."""
    same = [*RECIPE, f"source.path={people}"]
    there = [*same, f"training.out={bucket.url}"]
    arguments = {"folder": str(tmp_path), "arguments": [*there, "training.max_steps=6"]}
    run_ranks(f"{__name__}:train_some", 2, arguments)
    files = bucket.list(f"resume/{latest_in_bucket(bucket)}/real-")
    assert [file.rpartition("/")[2][:24] for file in files] == [
        "real-000000000-000000002",
        "real-000000002-000000004",
    ]
    train(recipe_of(there, tmp_path), quiet)
    alone = tmp_path / "alone"
    train(recipe_of([*same, f"training.out={alone}"], tmp_path), quiet)
    as_one = losses((alone / "history.jsonl").read_bytes())
    assert losses(bucket.get("history.jsonl")) == pytest.approx(as_one, rel=1e-4, abs=1e-4)
