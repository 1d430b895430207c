"""A gang of Ray actors learns what one process learns, and outlives a killed rank."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from factory.config import absolute, load
from factory.errors import MAY_GO_AGAIN, FactoryError, Unavailable
from factory.recognition.train import train
from tests.conftest import SMALL_RECOGNIZER

ROOT = Path(__file__).parent.parent.parent
RECIPE = [
    *SMALL_RECOGNIZER,
    "source.kind=folder",
    "source.license=CC0-1.0",
    "recognizer.batch_size=6",
    "recognizer.epochs=30",
    "recognizer.lr=0.005",  # steps so small that the last bit of a sum over two ranks stays small
    "fleet.cpus_per_actor=1",
]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def gang(three_cpus):
    from cluster import gang

    return gang


@pytest.fixture
def dotlist(people, tmp_path):
    """Function of a folder's name and extra items -> the arguments of a small training."""

    def make(name, *items):
        return [*RECIPE, f"source.path={people}", f"training.out={tmp_path / name}", *items]

    return make


@pytest.fixture
def recipe(dotlist, tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return lambda *items: absolute(load(tmp_path / "c.yaml", dotlist(*items)))


def quiet(line):
    return None


def losses(config) -> list[float]:
    lines = (Path(config.training.out) / "history.jsonl").read_text().splitlines()
    history = {entry["step"]: entry["loss"] for entry in map(json.loads, lines)}
    assert sorted(history) == list(range(1, len(lines) + 1)), "every step once"
    return list(history.values())


def ranks() -> list[int]:
    """Process ids of the gang's actors on this machine."""
    pids = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"ray::Rank" in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids


def kill_a_rank_after(config, step: int) -> threading.Thread:
    """In the background: SIGKILL one rank once the training has logged `step`."""
    history = Path(config.training.out) / "history.jsonl"

    def wait_and_kill():
        while not history.is_file() or len(history.read_text().splitlines()) < step:
            time.sleep(0.05)
        os.kill(max(ranks()), signal.SIGKILL)

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


def test_a_gang_outlives_a_killed_rank_with_the_losses_of_one_process(gang, recipe):
    alone = recipe("alone", "training.max_steps=24")
    train(alone, quiet)
    config, lines = recipe("gang", "training.max_steps=24", "compute.num_ranks=2"), []
    killer = kill_a_rank_after(config, 6)
    gang.run_gang(train, config, lines.append)
    killer.join(timeout=10)
    assert any("a rank was lost" in line and "step-" in line for line in lines)
    assert losses(config) == pytest.approx(losses(alone), rel=1e-4, abs=1e-4)
    assert (Path(config.training.out) / "checkpoint.json").is_file()
    deadline = time.monotonic() + 20
    while ranks() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not ranks()


def dies(config, log):
    os.kill(os.getpid(), signal.SIGKILL)


def is_wrong(config, log):
    raise FactoryError("source.path: not there")


def test_a_gang_that_only_dies_is_given_up(gang, recipe):
    config = recipe("none", "compute.num_ranks=2", "compute.max_restarts=1")
    with pytest.raises(FactoryError, match=r"compute\.max_restarts: the gang failed 2 times"):
        gang.run_gang(dies, config, quiet)


def test_an_error_for_the_user_ends_a_gang_at_once(gang, recipe):
    lines = []
    with pytest.raises(FactoryError, match=r"^source\.path: not there$"):
        gang.run_gang(is_wrong, recipe("none", "compute.num_ranks=2"), lines.append)
    assert not lines


def has_no_store(config, log):
    raise Unavailable("store.url: 503")


def test_exit_code_of_a_gang_is_that_of_its_ranks_error(gang, recipe):
    config = recipe("none", "compute.num_ranks=2", "compute.max_restarts=0")
    with pytest.raises(Unavailable, match=r"max_restarts: .* \(last: store\.url: 503\)") as caught:
        gang.run_gang(has_no_store, config, quiet)
    assert caught.value.exit_code == MAY_GO_AGAIN


def test_more_ranks_than_the_cluster_has_are_refused(gang, recipe, monkeypatch):
    from cluster import gang_places

    monkeypatch.setattr(gang_places, "FIRST_TIMEOUT_S", 1.0)
    config = recipe("none", "compute.num_ranks=6")
    with pytest.raises(FactoryError, match=r"no room for 6 .* 0 GPUs and 3 CPUs on 1"):
        gang.run_gang(train, config, quiet)


def fails_once(config, error) -> dict[str, int]:
    """Raise on rank 0 of the first gang; {"gang": 2} from the second."""
    if os.environ["RANK"] != "0":
        return {}
    begun = Path(config.training.out).with_suffix(".begun")
    with begun.open("a") as file:
        file.write("x")
    if begun.stat().st_size == 1:
        raise error
    return {"gang": begun.stat().st_size}


def is_preempted(config, log):
    from ray.exceptions import RayActorError

    return fails_once(config, RayActorError(preempted=True))


def finds_no_store(config, log):
    return fails_once(config, Unavailable("training.out: 503 SlowDown"))


@pytest.mark.parametrize(
    ("train", "restarts", "what"),
    [(is_preempted, 0, "a node was lost"), (finds_no_store, 1, "a rank was lost")],
)
def test_preemption_counts_as_no_restart_and_what_may_pass_is_tried_again(
    gang, recipe, train, restarts, what
):
    config = recipe("none", "compute.num_ranks=2", f"compute.max_restarts={restarts}")
    lines = []
    assert gang.run_gang(train, config, lines.append) == {"gang": 2}
    assert [line.partition(" (")[0] for line in lines] == [what]


def torchrun(tmp_path, arguments) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "jobs.train_recognizer", str(tmp_path / "c.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_torchrun_gives_the_curve_of_one_process_for_every_zero_stage(
    recipe, dotlist, tmp_path, precision
):
    """`torchrun --nproc-per-node 2 -m jobs.train_recognizer`, stages 0 to 3."""
    same = [f"compute.precision={precision}", "training.max_steps=12"]
    alone = recipe("alone", *same)
    train(alone, quiet)
    loose = 1e-4 if precision == "fp32" else 0.05
    for stage in range(4):
        torchrun(tmp_path, dotlist(f"zero{stage}", f"compute.zero_stage={stage}", *same))
        sharded = losses(recipe(f"zero{stage}", *same))
        assert sharded == pytest.approx(losses(alone), rel=loose, abs=loose), stage


@pytest.mark.slow
def test_two_ranks_and_then_one_go_on_as_one(recipe, dotlist, tmp_path):
    """Six steps under ZeRO 3 with two ranks, decoding workers and activation checkpointing, the
    rest in this process."""
    alone = recipe("alone", "training.max_steps=12")
    train(alone, quiet)
    both_at_once = (
        "compute.zero_stage=3",
        "batches.num_workers=1",
        "compute.activation_checkpointing=true",
    )
    torchrun(tmp_path, dotlist("both", "training.max_steps=6", *both_at_once))
    both = recipe("both", "training.max_steps=12")
    train(both, quiet)
    assert losses(both) == pytest.approx(losses(alone), rel=1e-4, abs=1e-4)
