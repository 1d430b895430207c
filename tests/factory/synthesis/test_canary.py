"""A machine that makes other bytes is refused by what it makes, not by what it says of itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from factory.config import Config, load
from factory.errors import OtherMachine
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.recognition.embed import Recognizer
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shots import environment
from factory.shots.canary import Canary, this_machine
from factory.shots.plan import canonical
from factory.store import Store, open_store
from factory.synthesis.canary import canary_shots, draw_canary
from factory.synthesis.generators import DiffusionGenerator
from factory.synthesis.maker import ShardMaker

ROOT = Path(__file__).parents[3]
PREFIX = "faces/releases/0.1.0"
OTHER_KERNELS = {"ONEDNN_MAX_CPU_ISA": "SSE41"}
"""Other kernels than any CPU of this decade picks by itself, with the same cpuid flags."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> tuple[Path, Config]:
    """A release of the starter's networks with one of its two units made: its config file."""
    folder = tmp_path_factory.mktemp("begun")
    sections = {
        "source": {"kind": "starter"},
        "identities": {"proposal": "pca", "num_virtual": 2},
        "plan": {"images_per_identity": 2, "identities_per_unit": 1, "micro_batch": 2},
        "sampler": {"num_steps": 2},
        "filters": {
            "min_own_cosine": -1,
            "min_identity_gap": None,
            "min_brightness": None,
            "max_brightness": None,
        },
        "compute": {"device": "cpu"},
        "fleet": {"runner": "inline"},
        "store": {"url": str(folder / "store"), "min_free_bytes": 0},
        "release": {"dataset": "faces"},
    }
    file = folder / "faces.yaml"
    file.write_text(yaml.safe_dump(sections))
    config = load(file, [])
    write_plan(config, preflight(config), store_of(config))
    maker = ShardMaker.open(config, PREFIX)
    assert len([*maker.make(0), *maker.flush()]) == 1
    maker.close()
    return file, config


def store_of(config: Config) -> Store:
    return open_store(config.store).below(PREFIX)


def run_job(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_a_maker_whose_canary_differs_is_refused_by_name(begun):
    """A driver without a word about machines begins, its maker stops before it draws a unit."""
    file, config = begun
    ended = run_job("jobs.release", str(file), **OTHER_KERNELS)
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: this maker is not as planned (canary: other embeddings, enc")
    assert "ONEDNN_MAX_CPU_ISA: 'SSE41' here, not set in the plan" in line
    assert manifest.committed_units(store_of(config)) == {0}


@pytest.mark.parametrize("values", ["embeddings", "unrounded images"])
def test_a_canary_sees_on_a_cpu_what_rounding_hides_in_its_batch(begun, monkeypatch, values):
    """Other kernels may give the same pixels and scores in one batch, and others in the next."""
    _, config = begun

    def last_bits_differ(real):
        return lambda *given: np.nextafter(real(*given), np.float32(9))

    with closing(ShardMaker.open(config, PREFIX)) as maker:
        kind, name = {
            "embeddings": (Recognizer, "embed"),
            "unrounded images": (DiffusionGenerator, "unrounded"),
        }[values]
        monkeypatch.setattr(kind, name, last_bits_differ(getattr(kind, name)))
        assert maker.canary_difference().startswith(f"canary: other {values} than planned")
        request = maker._plan.request
        on_gpu = replace(request, compute=replace(request.compute, device="cuda"))
        maker._plan = replace(maker._plan, request=on_gpu)
        assert set(maker.canary().digests) == {"images", "encoded", "scores"}


def test_reproduce_under_another_canary_says_another_machine(begun):
    file, _ = begun
    ended = run_job("jobs.reproduce", "000000_0000", str(file), **OTHER_KERNELS)
    assert ended.returncode == 1
    assert "000000_0000: another machine than the plan's made other bytes" in ended.stderr
    assert "ONEDNN_MAX_CPU_ISA: 'SSE41' here" in ended.stderr
    assert "largest difference of a value" in ended.stderr
    assert "altered" not in ended.stdout + ended.stderr


def test_reproduce_under_the_same_canary_gives_the_same_bytes(begun):
    file, _ = begun
    ended = run_job("jobs.reproduce", "000000_0000", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "again, byte for byte" in ended.stdout


def test_another_cpu_with_the_same_canary_is_no_other_machine(begun, monkeypatch):
    _, config = begun
    others = dict.fromkeys(environment.CPU_FACTS, "another")
    monkeypatch.setattr(
        environment, "stack_fingerprint", changed(environment.stack_fingerprint, others)
    )
    ShardMaker.open(config, PREFIX).close()


def test_another_library_is_refused_whatever_the_canary(begun, monkeypatch):
    _, config = begun
    monkeypatch.setattr(
        environment, "stack_fingerprint", changed(environment.stack_fingerprint, {"torch": "1.0"})
    )
    with pytest.raises(OtherMachine, match=r"not as planned \(environment\.stack\.torch: .*'1\.0'"):
        ShardMaker.open(config, PREFIX)


def changed(plain: Callable[[], dict[str, str]], others: dict[str, str]):
    before = plain()
    return lambda: before | others


@pytest.mark.parametrize("name", ["images", "encoded", "scores"])
def test_each_digest_of_a_canary_is_compared(begun, monkeypatch, name):
    _, config = begun
    monkeypatch.setattr(ShardMaker, "canary", lambda self: drawn_otherwise(self, name))
    with pytest.raises(OtherMachine, match=rf"canary: other {name} than planned; the two say"):
        ShardMaker.open(config, PREFIX)


def drawn_otherwise(maker: ShardMaker, name: str) -> Canary:
    planned = maker._plan.canary
    assert planned is not None
    return replace(planned, digests=planned.digests | {name: "0" * 64})


def test_a_canary_sees_one_value_of_one_pixel(begun):
    _, config = begun
    plan, roster = open_plan(store_of(config))
    maker = ShardMaker.open(config, PREFIX)

    def slightly_brighter(shots):
        drawn = maker.draw(shots)
        drawn[-1][1][5, 5, 0] ^= 1
        return drawn

    assert draw_canary(plan, roster, maker.draw, maker._unrounded).digests == plan.canary.digests
    digests = draw_canary(plan, roster, slightly_brighter, maker._unrounded).digests
    assert digests["images"] != plan.canary.digests["images"]
    assert digests["scores"] == plan.canary.digests["scores"]
    assert [shot.slot for shot in canary_shots(plan, roster)] == [0, 1]


def test_a_shot_that_raises_is_left_out_of_the_canary(begun):
    _, config = begun
    plan, roster = open_plan(store_of(config))
    maker = ShardMaker.open(config, PREFIX)

    def poisoned(shots):
        if any(shot.image == 1 for shot in shots):
            raise ValueError("cannot draw this")
        return maker.draw(shots)

    digests = draw_canary(plan, roster, poisoned, maker._unrounded).digests
    assert digests == draw_canary(plan, roster, poisoned, maker._unrounded).digests
    assert digests["images"] != plan.canary.digests["images"]


def test_a_plan_without_a_canary_keeps_the_comparison_of_cpu_flags(begun, monkeypatch, tmp_path):
    """A release that an older factory began (format 2) goes on where its flags are the same."""
    _, config = begun
    older = replace(config, store=replace(config.store, url=str(tmp_path / "older")))
    source, store = store_of(config), store_of(older)
    body = json.loads(source.get(layout.PLAN))
    del body["plan_hash"], body["canary"]
    body["format"] = 2
    digest = hashlib.sha256(canonical(body)).hexdigest()
    store.put(layout.PLAN, json.dumps(body | {"plan_hash": digest}).encode())
    for name in (layout.ROSTER, layout.EMBEDDINGS):
        store.put(name, source.get(name))
    ShardMaker.open(older, PREFIX).close()
    monkeypatch.setattr(
        environment,
        "stack_fingerprint",
        changed(environment.stack_fingerprint, {"cpu_capability": "SVE"}),
    )
    with pytest.raises(OtherMachine, match=r"environment\.stack\.cpu_capability"):
        ShardMaker.open(older, PREFIX)


def test_a_canary_names_the_machine_for_the_reader(begun):
    _, config = begun
    plan, _ = open_plan(store_of(config))
    assert plan.canary.machine == this_machine("cpu")
    body = json.loads(store_of(config).get(layout.PLAN))["canary"]["machine"]
    assert set(body) == {"cpu", "cpu_flags", "gpu", "variables"}
    assert body["cpu"]
