"""Jobs as a person runs them: exit codes and one line of error."""

from __future__ import annotations

import signal

import pytest

from factory.errors import MAY_GO_AGAIN
from factory.shards import layout
from factory.store import LocalStore
from tests.conftest import tiny_dotlist
from tests.jobs.commands import run


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return str(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("job", "dotlist", "line"),
    [
        ("release", ["plan.nonsense=1"], "error: plan.nonsense"),
        ("release", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
        ("train_recognizer", ["source.kind=folder", "source.path=/none"], "error: source.path"),
        ("train_generator", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
        ("train_autoencoder", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
    ],
)
def test_bad_input_exits_1_with_one_line(empty, job, dotlist, line):
    done = run(f"jobs.{job}", empty, *dotlist)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1


def test_help_tells_the_command():
    done = run("jobs.release", "--help")
    assert done.returncode == 0
    assert "python -m jobs.release configs/demo.yaml" in done.stdout


def test_a_killed_driver_is_resumed_and_verify_sees_a_flipped_byte(
    empty, people, weights, tmp_path
):
    store = tmp_path / "store"
    release = LocalStore(store).below(layout.release_prefix("tiny", "0.1.0"))
    arguments = [empty, *tiny_dotlist(people, weights, store)]

    # Kill the driver when one shard is committed
    killed = run("tests.jobs.interrupted", str(int(signal.SIGKILL)), "release", *arguments)
    assert killed.returncode == -signal.SIGKILL
    committed = len(release.list(layout.COMMITS))
    assert committed in (1, 2)  # the next one may have been in the queue already
    assert not release.exists(layout.SUCCESS)

    # Resume, and compare with an undisturbed run
    done = run("jobs.release", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"resuming: {committed} of 3" in done.stdout
    other = LocalStore(tmp_path / "other").below(layout.release_prefix("tiny", "0.1.0"))
    assert run("jobs.release", *arguments, f"store.url={tmp_path / 'other'}").returncode == 0
    assert release.get(layout.SUMS) == other.get(layout.SUMS)

    # Verify, then flip one byte
    assert run("jobs.verify", str(release.root)).returncode == 0
    data = bytearray(release.get(layout.tar_name(1)))
    data[1000] ^= 1
    release.put(layout.tar_name(1), bytes(data))
    broken = run("jobs.verify", str(release.root))
    assert broken.returncode == 1
    assert layout.tar_name(1) in broken.stdout


def test_evaluate_needs_a_sealed_release_and_rewrites_only_extras(empty, people, weights, tmp_path):
    store = tmp_path / "store"
    release = LocalStore(store).below(layout.release_prefix("tiny", "0.1.0"))
    dotlist = tiny_dotlist(people, weights, store)
    done = run("jobs.evaluate", str(release.root), empty, *dotlist)
    assert done.returncode == 1
    assert "is not a sealed release" in done.stderr
    assert run("jobs.release", empty, *dotlist).returncode == 0
    before = release.get(layout.SUMS)
    release.put(layout.REPORT, b"old")
    done = run("jobs.evaluate", str(release.root), empty, *dotlist)
    assert done.returncode == 0, done.stderr
    assert b"<h1>" in release.get(layout.REPORT)
    assert release.get(layout.SUMS) == before
    assert run("jobs.verify", str(release.root)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["jobs.status", "{none}"], "no plan.json, so no release was begun here"),
        (["jobs.status", "gs://x"], "error: store.url"),
        (["jobs.verify", "{none}"], "is not what was published"),
        (["jobs.reproduce", "000000_0000", "{yaml}", "store.url={none}"], "nothing was released"),
        (["jobs.plan", "{yaml}", "estimate.faces_per_s=-1"], "error: estimate.faces_per_s"),
    ],
)
def test_commands_on_nothing_say_so(empty, tmp_path, arguments, line):
    done = run(*(a.format(none=tmp_path / "none", yaml=empty) for a in arguments))
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "runner", ["inline", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])]
)
def test_sigterm_finishes_what_is_in_hand(runner, empty, people, weights, tmp_path):
    store = tmp_path / "store"
    release = LocalStore(store).below(layout.release_prefix("tiny", "0.1.0"))
    arguments = [empty, *tiny_dotlist(people, weights, store), f"fleet.runner={runner}"]
    arguments += ["fleet.num_workers=2", "identities.num_virtual=40"]
    done = run("tests.jobs.interrupted", str(int(signal.SIGTERM)), "release", *arguments)
    assert done.returncode == MAY_GO_AGAIN
    assert "SIGTERM: finishing the shards in hand" in done.stdout
    assert "the same command goes on" in done.stderr
    assert 1 <= len(release.list(layout.COMMITS)) < 20
    assert release.leftovers() == []
    tars = {name[-10:-4] for name in release.list("data/")}
    assert tars == {name[-11:-5] for name in release.list(layout.COMMITS)}  # none half done


@pytest.mark.s3
@pytest.mark.slow
def test_a_bucket_from_plan_to_gc(empty, people, weights, s3_endpoint, tmp_path, monkeypatch):
    from tests import s3_server

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    url = f"s3://{s3_server.BUCKET}/{tmp_path.name}"
    release = f"{url}/tiny/releases/0.1.0"
    dotlist = [*tiny_dotlist(people, weights, tmp_path), f"store.url={url}"]

    planned = run("jobs.plan", empty, *dotlist, "estimate.face_bytes=1000")
    assert "12 in 3 shards" in planned.stdout
    assert (
        s3_server.client(s3_endpoint).list_objects_v2(
            Bucket=s3_server.BUCKET, Prefix=tmp_path.name
        )["KeyCount"]
        == 0
    )  # nothing was written
    made = run("jobs.release", empty, *dotlist)
    assert made.returncode == 0, made.stderr
    assert "3 of 3" in run("jobs.status", release).stdout
    assert "the release is whole" in run("jobs.verify", release).stdout
    again = run("jobs.reproduce", "000003_0001", empty, *dotlist)
    assert "byte for byte" in again.stdout, again.stderr
    at = {"Bucket": s3_server.BUCKET, "Key": f"{tmp_path.name}/tiny/releases/0.1.0/data/dangling"}
    s3_server.client(s3_endpoint).create_multipart_upload(**at)
    listed = run("jobs.gc", release, "--older-than-hours", "0")
    assert "data/dangling  unfinished upload" in listed.stdout
    assert "1 leftovers" in run("jobs.gc", release, "--older-than-hours", "0", "--delete").stdout
    assert "0 leftovers" in run("jobs.gc", release, "--older-than-hours", "0").stdout
    assert "nothing to do" in run("jobs.release", empty, *dotlist).stdout
