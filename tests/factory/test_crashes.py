"""Crashes, races and faults of whole releases: the bytes are always those of a quiet run."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import random
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from factory import release
from factory.config import Config
from factory.errors import IntegrityError
from factory.execution.driver_lease import DriverLease
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.verify import verify
from factory.shards.writer import read_commit
from factory.store import Store, open_store
from factory.synthesis import maker
from factory.synthesis.loading import load_release
from factory.synthesis.maker import ShardMaker
from tests import s3_server

ROOT = Path(__file__).parent.parent.parent
PREFIX = layout.release_prefix("tiny", "0.1.0")


def release_of(config):
    return open_store(config.store).below(PREFIX)


def make(config, runner=run_units) -> bytes:
    build(config, runner, log=lambda line: None)
    return release_of(config).get(layout.SUMS)


@pytest.fixture
def on(release_config, s3_config, tmp_path):
    """Function of (local | s3, name, dotlist) -> config of a tiny release there."""

    def config(kind, name, *dotlist, **fields):
        made = release_config(f"store.url={tmp_path / name}", *dotlist)
        if kind == "local":
            return made
        store = s3_config(**fields)
        return replace(made, store=replace(store, url=f"{store.url}/{name}"))

    return config


BOTH = ["local", pytest.param("s3", marks=pytest.mark.s3)]


def crash(people, weights, store: dict, every: int) -> str:
    arguments = [str(people), str(weights), json.dumps(store), str(every)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.factory.crash_matrix", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_a_driver_killed_after_some_steps_is_resumed(people, weights, tmp_path):
    said = crash(people, weights, {"url": str(tmp_path)}, every=15)
    assert "killed writing data - same bytes" in said
    assert "killed writing _commits - same bytes" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("local", 1),
        pytest.param("s3", 2, marks=pytest.mark.s3),
        pytest.param("parts", 6, marks=pytest.mark.s3),
    ],
)
def test_a_driver_killed_after_its_steps_is_resumed(
    kind, every, request, people, weights, tmp_path
):
    store = {"url": str(tmp_path)}
    if kind != "local":
        fields = {"multipart_min_bytes": 1} if kind == "parts" else {}
        named = asdict(request.getfixturevalue("s3_config")(**fields))
        used = ("url", "endpoint_url", "path_style", "multipart_min_bytes")
        store = {key: named[key] for key in used}
    said = crash(people, weights, store, every)
    assert "crashes" in said
    assert every > 1 or "killed after put_once _commits/000001.json - same bytes" in said


@pytest.mark.s3
def test_a_folder_and_a_bucket_hold_the_same_release(on):
    assert make(on("local", "a")) == make(on("s3", "b"))
    bucket = release_of(on("s3", "b"))
    assert verify(bucket) == []
    assert bucket.leftovers() == []
    latest = open_store(on("s3", "b").store).below("tiny").get("latest.json")
    assert json.loads(latest)["version"] == "0.1.0"


def shuffled(fleet, open_maker, units, on_done, draining, on_state) -> None:
    order = list(units)
    random.Random(1).shuffle(order)
    run_units(fleet, open_maker, order, on_done, draining, on_state)


def test_another_order_gives_the_same_bytes(on):
    assert make(on("local", "a")) == make(on("local", "b"), shuffled)


@contextmanager
def unheld(config, store, log):
    """In place of `driving`: a lease that keeps no other driver away."""
    yield DriverLease(store)


def drive(config, order: int, results) -> None:
    """A driver whom nobody keeps away: what is right must not hang on the lease."""
    torch.set_num_threads(1)
    release.driving = unheld
    try:
        build(config, shuffled if order else run_units, log=lambda line: None)
        results.put("made")
    except Exception as error:  # because the parent wants to see it
        results.put(repr(error))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_two_drivers_at_once_end_in_one_correct_release(kind, on):
    wanted = make(on("local", "quiet"))
    config = on(kind, "both")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    drivers = [context.Process(target=drive, args=(config, i, results)) for i in range(2)]
    for driver in drivers:
        driver.start()
    outcomes = [results.get(timeout=200) for _ in drivers]
    for driver in drivers:
        driver.join()
    assert outcomes == ["made", "made"]
    assert release_of(config).get(layout.SUMS) == wanted
    assert verify(release_of(config)) == []


FAULTS = {
    "PUT": ["503", "409", "reset", "slow"],
    "GET": ["truncate", "503", "reset", "slow"],
}
"""What befalls every fourth request of a method, in turn."""


@pytest.mark.s3
@pytest.mark.slow
def test_faults_between_us_and_the_bucket_change_nothing(on, s3_endpoint, monkeypatch):
    from factory.store import s3

    monkeypatch.setattr(s3, "_pause", lambda failures: None)
    requests = Counter()

    def plan(method, path):
        if method not in FAULTS or "max-keys=1" in path:  # preflight is not patient
            return None
        requests[method] += 1
        number, rest = divmod(requests[method], 4)
        return FAULTS[method][number % 4] if rest == 0 else None

    faults = s3_server.Faults(plan)
    wanted = make(on("local", "quiet"))
    with s3_server.proxy(s3_endpoint, faults) as address:
        fields = {"endpoint_url": address, "timeout_s": 0.4, "max_attempts": 20}
        config = on("s3", "noisy", **fields)
        assert make(config) == wanted
        assert verify(release_of(config)) == []
    assert set(faults.done) == {*FAULTS["PUT"], *FAULTS["GET"]}
    assert release_of(on("s3", "noisy")).leftovers() == []


@pytest.fixture
def interrupted(on, monkeypatch):
    """A release of which unit 1 is to be made again, by a maker that encodes otherwise."""
    from factory.shards import writer

    def make_and_lose(kind, *names) -> tuple[Config, Store]:
        config = on(kind, "altered")
        make(config)
        release = release_of(config)
        for name in (layout.SUCCESS, layout.SUMS, layout.WIDS, layout.MANIFEST, *names):
            release.delete(name)
        monkeypatch.setattr(maker, "refuse", lambda difference: None)  # its canary would be seen
        poor = writer.Encoding("jpeg", 50)
        monkeypatch.setattr(writer.Encoding, "of", lambda request: poor)
        return config, release

    return make_and_lose


@pytest.mark.parametrize("kind", BOTH)
def test_a_maker_with_other_bytes_stops_the_release(kind, interrupted):
    config, release = interrupted(kind, layout.commit_name(0))
    record = release.get(layout.commit_name(1))

    def runner(fleet, open_maker, units, *rest):
        run_units(fleet, open_maker, [1], *rest)  # as a driver that has not heard of the commit

    with pytest.raises(IntegrityError, match=r"unit 1.*same plan gave other bytes") as raised:
        make(config, runner)
    assert "gc" not in str(raised.value)
    assert release.get(layout.commit_name(1)) == record
    assert not release.exists(layout.commit_name(0))


@pytest.mark.parametrize("kind", BOTH)
def test_an_orphan_of_other_bytes_is_replaced_and_the_release_sealed(kind, interrupted):
    config, release = interrupted(kind, layout.commit_name(1))
    before = release.sha256(layout.tar_name(1))
    make(config)
    assert release.sha256(layout.tar_name(1)) != before
    assert verify(release) == []


@pytest.mark.parametrize(("device", "goes_on"), [("cpu", False), ("cuda", True)])
def test_an_orphan_maker_on_a_gpu_stands_back_where_one_on_a_cpu_stops(
    device, goes_on, interrupted
):
    """Which of the two it is says the plan."""
    config, release = interrupted("local")
    loaded = load_release(config, release)
    compute = replace(loaded.plan.request.compute, device=device)
    request = replace(loaded.plan.request, compute=compute)
    loaded = replace(loaded, plan=replace(loaded.plan, request=request))
    with closing(ShardMaker.at(loaded, release, 10**9)) as maker:

        def committed():
            return [*maker.make(1), *maker.flush()]  # by whichever comes after the commit

        if goes_on:
            (shard,) = committed()
            assert shard == read_commit(release, 1)
            assert len(release.list(layout.DIFFERENCES)) == 1
        else:
            with pytest.raises(IntegrityError, match=r"unit 1.*same plan gave other bytes"):
                committed()


class Poisoned:
    """A generator that raises for one shot at its first attempt."""

    def __init__(self, generator):
        self._generator, self.remarks = generator, generator.remarks

    def generate(self, shots, batch_size):
        if any((shot.key, shot.attempt) == ("000003_0001", 0) for shot in shots):
            raise ValueError("poison")
        return self._generator.generate(shots, batch_size)


def poisoned(open_maker):
    maker = open_maker()
    if isinstance(maker, ShardMaker):  # units are measured by the same runner
        maker._generator.generator = Poisoned(maker._generator.generator)
    return maker


@pytest.mark.parametrize("kind", BOTH)
def test_a_poison_shot_is_quarantined_and_its_neighbors_kept(kind, on):
    def runner(fleet, open_maker, *rest):
        run_units(fleet, functools.partial(poisoned, open_maker), *rest)

    config = on(kind, "poisoned", "release.max_failed_fraction=0.1")
    make(config, runner)
    release = release_of(config)
    counts = json.loads(release.get(layout.MANIFEST))["counts"]
    assert (counts["kept"], counts["quarantined"], counts["topups"]) == (12, 1, 1)
    line = json.loads(release.get(layout.quarantine_name(1)))
    assert (line["shot"]["key"], line["error"]) == ("000003_0001", "ValueError('poison')")
    assert line["shot"]["seed"]
    assert verify(release) == []
