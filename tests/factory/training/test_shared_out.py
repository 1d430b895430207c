"""A training whose ranks do not share training.out ends before its faces are read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from factory.config import load
from factory.errors import StoreError
from factory.recognition.train import train as train_recognizer
from factory.training.distributed import rank, wait_for_all
from factory.training.run import TrainingRun
from factory.training.shared_out import check_shared
from tests.ranks import run_ranks

SETTINGS = ["source.kind=folder", "source.path=/no/such/faces", "compute.device=cpu"]
SETTINGS += ["compute.precision=fp32", "generator.batch_size=6", "recognizer.batch_size=6"]


def config_of(out: str, folder: str):
    file = Path(folder) / f"c{os.getpid()}.yaml"
    file.write_text("{}\n")
    return load(file, [*SETTINGS, f"training.out={out}"])


def look(outs: list[str], folder: str) -> list[str]:
    """What lies in this rank's training.out after the check."""
    check_shared(config_of(outs[rank()], folder))
    wait_for_all()  # because rank 0 removes the nonce after the last has read it
    return sorted(os.listdir(outs[rank()]))


def begin(outs: list[str], folder: str, kind: str) -> None:
    config = config_of(outs[rank()], folder)
    if kind == "recognizer":
        train_recognizer(config, print)
    else:
        TrainingRun(config, config.generator, print)


def failure(function: str, outs: list[Path], folder: Path, **arguments) -> list[str]:
    """What the ranks said at their end, the lines that begin with `rank`."""
    given = {"outs": [str(out) for out in outs], "folder": str(folder)} | arguments
    with pytest.raises(AssertionError) as failed:
        run_ranks(f"{__name__}:{function}", len(outs), given)
    return [line for line in str(failed.value).splitlines() if line.startswith("rank ")]


@pytest.mark.parametrize("kind", ["recognizer", "generator"])
def test_ranks_with_folders_of_their_own_miss_the_nonce_and_read_no_face(tmp_path, kind):
    outs = [tmp_path / "a", tmp_path / "b"]
    for number, line in enumerate(failure("begin", outs, tmp_path, kind=kind)):
        assert line.startswith(f"rank {number}: error: training.out: rank 1 on node ")
        assert socket.gethostname() in line
        assert str(outs[number]) in line
        assert "1 of 2 ranks" in line
        assert "want one folder that all nodes see, or s3://bucket/prefix" in line
        assert "Traceback" not in line
    assert os.listdir(outs[0]) == []  # the nonce is gone
    assert not outs[1].exists()


def test_a_nonce_of_another_content_is_not_enough(tmp_path):
    """Each rank has a folder, and both hold a file of the nonce's name."""
    outs = [tmp_path / "a", tmp_path / "b"]
    lines = failure("with_equal_names", outs, tmp_path)
    assert len(lines) == 2
    assert all("it holds other bytes" in line for line in lines)


def with_equal_names(outs: list[str], folder: str) -> None:
    from factory.training import shared_out

    shared_out.secrets.token_hex = lambda size: "same"
    out = Path(outs[rank()])
    out.mkdir()
    if rank() == 1:
        (out / "nonce-same").write_bytes(b"of an earlier training")
    check_shared(config_of(str(out), folder))


def test_ranks_that_share_a_folder_leave_no_nonce_behind(tmp_path):
    out = str(tmp_path / "out")
    arguments = {"outs": [out, out], "folder": str(tmp_path)}
    assert run_ranks(f"{__name__}:look", 2, arguments) == [[], []]


def test_a_folder_that_rank_0_cannot_write_ends_all_ranks_with_one_line(tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    lines = failure("look", [out, out], tmp_path)
    assert len(lines) == 2
    assert all("error: training.out: rank 0 on node" in line for line in lines)
    assert all("cannot write to" in line for line in lines)


def test_a_single_process_writes_no_nonce(tmp_path):
    check_shared(config_of(str(tmp_path / "out"), str(tmp_path)))
    assert not (tmp_path / "out").exists()


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_found_before_the_nonce(tmp_path, s3_config, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_config().endpoint_url)
    with pytest.raises(StoreError, match="NoSuchBucket"):
        check_shared(config_of("s3://no-such-bucket/a", str(tmp_path)))


@pytest.mark.s3
def test_ranks_with_another_bucket_miss_the_nonce(tmp_path, s3_config, monkeypatch):
    config = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", config.endpoint_url)
    outs = [f"{config.url}/a", f"{config.url}/b"]
    lines = failure("begin", outs, tmp_path, kind="generator")
    assert len(lines) == 2
    assert all("no such file" in line and "rank 1" in line for line in lines)
