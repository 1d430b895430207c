"""The exit code says whether the same command may fare better: of real processes, one a kind."""

from __future__ import annotations

import os
import subprocess

import pytest

from factory import errors
from factory.errors import MAY_GO_AGAIN, REFUSED
from tests.jobs.commands import ROOT, command, run
from tests.ports import free_ports

REFUSALS = ("ConfigError", "SourceError", "CheckpointError", "PlanError", "StoreError", "Conflict")
REFUSALS += ("IntegrityError", "LeakError")


@pytest.mark.parametrize("kind", ["Unavailable", "DeviceError", "ClusterError"])
def test_exit_code_of_what_may_go_again_is_75_with_one_line(kind):
    done = run("tests.jobs.raised", f"factory.errors:{kind}", "x.y: got 1; want 2")
    assert (done.returncode, done.stderr) == (75, "error: x.y: got 1; want 2\n")


def test_exit_code_of_a_refusal_is_1_with_one_line():
    done = run("tests.jobs.raised", "factory.errors:PlanError", "x.y: got 1; want 2")
    assert (done.returncode, done.stderr) == (1, "error: x.y: got 1; want 2\n")
    for kind in REFUSALS:
        assert getattr(errors, kind).exit_code == REFUSED


@pytest.mark.parametrize(
    ("name", "message", "last"),
    [
        ("ray.exceptions:RayError", ["gone"], "ray.exceptions.RayError: gone"),
        ("ray.exceptions:NodeDiedError", ["gone"], "ray.exceptions.NodeDiedError: gone"),
        ("builtins:ConnectionError", ["no GCS"], "ConnectionError: no GCS"),
        ("builtins:ZeroDivisionError", ["x"], "ZeroDivisionError: x"),
        ("builtins:MemoryError", [], "MemoryError"),
    ],
)
def test_exit_code_of_what_nobody_foresaw_is_75_and_its_traceback_is_kept(name, message, last):
    done = run("tests.jobs.raised", name, *message)
    assert done.returncode == MAY_GO_AGAIN
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == last


def test_exit_code_of_a_stop_by_hand_and_of_an_end_without_error():
    stopped = run("tests.jobs.raised", "builtins:KeyboardInterrupt")
    assert (stopped.returncode, stopped.stderr[:8]) == (1, "stopped;")
    assert run("jobs.release", "--help").returncode == 0


def test_exit_code_of_a_rank_is_that_of_its_error():
    (port,) = free_ports(1)
    group = {"LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    group |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            command("tests.jobs.raised", f"factory.errors:{kind}", "broken"),
            cwd=ROOT,
            env=os.environ | group | {"RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, kind in enumerate(("DeviceError", "PlanError"))
    ]
    said = [rank.communicate(timeout=200)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [MAY_GO_AGAIN, REFUSED], said
    assert all("error: broken" in text for text in said)


def test_exit_code_of_submit_without_a_job_server_is_75():
    done = run(
        *("jobs.submit", "configs/demo.yaml", "store.url=s3://faces/made"),
        *("--address", "http://127.0.0.1:9"),
    )
    assert done.returncode == MAY_GO_AGAIN
    assert done.stderr.startswith("error: --address: no Ray job server answers")
    assert len(done.stderr.splitlines()) == 1
