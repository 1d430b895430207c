"""Places that take nothing: one line before work, and a cache that takes nothing ends nothing."""

from __future__ import annotations

import errno
import os

import pytest

from factory.config import load
from factory.execution.inline import run_units
from factory.execution.socket_paths import check_socket_paths
from factory.release import build
from factory.store import atomic, open_store
from tests.conftest import tiny_dotlist
from tests.disks import filesystem

MINI = ["configs/recognizer/mini.yaml", "source.license=CC0-1.0", "source.holdout_identities=0"]
TINY = ["recognizer.num_virtual=4", "recognizer.batch_size=4", "training.max_steps=1"]


@pytest.fixture
def taken(tmp_path):
    """A path below a file, where nobody can write, root neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "x"


@pytest.fixture
def release(people, weights, tmp_path):
    """Function of changes -> a small release, built."""
    (tmp_path / "release.yaml").write_text("{}\n")

    def make(*changes):
        words = [*tiny_dotlist(people, weights, tmp_path / "store"), *changes]
        config = load(tmp_path / "release.yaml", words)
        build(config, run_units, log=lambda line: None)
        return open_store(config.store).below("tiny/releases/0.1.0")

    return make


def jobs_that_write(place, source, sealed):
    """Every job that writes to a folder of its own, sent to a place."""
    faces = [f"source.path={source}", "source.license=CC0-1.0"]
    return {
        "train_recognizer": [*MINI, *TINY, f"source.path={source}", f"training.out={place}"],
        "pack_weights": ["configs/demo.yaml", f"training.out={place}", "--dry-run"],
        "embed": [
            "configs/demo.yaml",
            "source.kind=folder",
            *faces,
            f"identities.gallery={place}.npy",
        ],
        "export": [sealed, "imagefolder", place],
        "export_recognizer": ["starter:recognizer", place],
        "release": ["configs/demo.yaml", f"store.url={place}"],
    }


def refused(run_job, name, words):
    code, said = run_job(name, *words)
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert code == 1
    assert "Traceback" not in said
    return line


NAMES = sorted(jobs_that_write("", "", ""))


@pytest.mark.parametrize("name", NAMES)
def test_a_place_that_cannot_be_written_is_one_line(
    name, taken, faces, run_job, released, tmp_path
):
    faces(tmp_path / "f", 3, 2)
    line = refused(run_job, name, jobs_that_write(taken, tmp_path / "f", released)[name])
    assert str(taken.parent) in line
    assert "; " in line  # and what to do


@pytest.mark.parametrize("name", ["train_recognizer", "export", "embed", "pack_weights"])
def test_a_full_disk_is_one_line(name, faces, run_job, released, tmp_path, monkeypatch):
    faces(tmp_path / "f", 3, 2)
    monkeypatch.setattr(atomic.os, "fsync", full)
    line = refused(run_job, name, jobs_that_write(tmp_path / "t", tmp_path / "f", released)[name])
    assert "No space left on device; free some space there, then run again" in line


def full(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="session")
def released(people, weights, tmp_path_factory):
    """Address of a small sealed release."""
    root = tmp_path_factory.mktemp("released")
    (root / "release.yaml").write_text("{}\n")
    config = load(root / "release.yaml", tiny_dotlist(people, weights, root / "store"))
    build(config, run_units, log=lambda line: None)
    return root / "store" / "tiny" / "releases" / "0.1.0"


def test_caches_that_take_nothing_end_no_release(release, taken, capsys, monkeypatch):
    """Kept vectors, indexes of shards and copies: each is said once, and the release is made."""
    monkeypatch.setattr(atomic, "_noted", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(taken))
    store = release(f"audit.embeddings_dir={taken}")
    assert store.exists("_SUCCESS")
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert sum("audit.embeddings_dir" in line for line in notes) == 1
    assert len(notes) == len(set(notes))


def test_sockets_of_ray_have_107_bytes(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    deep = tmp_path / ("slurm_job_" * 8)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with pytest.raises(ValueError, match=r"^TMPDIR: got .*; want at most .*RAY_TMPDIR=/tmp$"):
        check_socket_paths()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "options", "reason"),
    [("64k", [], "No space left"), ("1m", ["ro"], "Read-only file system")],
    ids=["full", "read-only"],
)
def test_real_disks(
    size, options, reason, faces, run_job, released, release, tmp_path, monkeypatch
):
    faces(tmp_path / "f", 3, 2)
    try:
        with filesystem(tmp_path / "disk", size, *options) as disk:
            if not options:
                (disk / "filling").write_bytes(bytes(64 << 10))
            for name, words in jobs_that_write(disk / "t", tmp_path / "f", released).items():
                line = refused(run_job, name, words)
                assert reason in line or "cannot write" in line or "GB free" in line, (name, line)
            monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
            assert release(f"audit.embeddings_dir={disk / 'v'}").exists("_SUCCESS")
    except PermissionError:
        pytest.skip("this user may not mount")
