"""LoRAs of everybody: committed once, resumed, quarantined; then a release that they draw."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from factory.errors import (
    CheckpointError,
    ConfigError,
    IntegrityError,
    OtherMachine,
    PlanError,
    SourceError,
)
from factory.execution import inline
from factory.provenance.lineage import read_lineage
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import committed_units, sealed_plan
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.shards.writer import read_commit
from factory.shots.plan import canonical
from factory.store import open_store
from factory.synthesis import lora_finetuning, lora_maker
from factory.synthesis.lora_finetuning import finetune
from factory.synthesis.lora_maker import LoraMaker
from factory.synthesis.lora_sets import read_lora_plan
from factory.synthesis.reproduce import reproduce
from factory.text_to_image.personalize import LoraTrainer
from tests.base_model import save_base
from tests.conftest import IMAGES, PEOPLE

SMALL = "steps=2 num_prior=2 prior_steps=2 crop=whole loras=all rank=2 alpha=2".split()
DRAWN = [
    "release.method=lora",
    "identities.num_virtual=0",
    f"plan.fill_to={IMAGES + 2}",
    "release.allow_real=true",
    "sampler.kind=ddim",
    "sampler.guidance=3",
    "personalization.views=['face ','side ']",
    "personalization.backgrounds=[', forest',', office','']",
    "audit.max_leak_fraction=1",
]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def lora_config(release_config, base_folder):
    def make(*dotlist):
        settings = [f"personalization.{item}" for item in SMALL] + [
            f"base_model.path={base_folder}"
        ]
        return release_config("identities.num_virtual=0", *DRAWN, *settings, *dotlist)

    return make


def quiet(line):
    pass


def store_of(config):
    return open_store(config.store).below(layout.loras_prefix("tiny", config.personalization.loras))


def train(config, **how):
    return finetune(config, inline.run_units, log=quiet, **how)


def files_of(config):
    store = store_of(config)
    return {name: store.get(name) for name in store.list("loras/")}


def test_everybody_gets_one_and_again_is_nothing_to_do(lora_config, monkeypatch):
    config = lora_config()
    means = train(config)
    files = files_of(config)
    assert means["num_people"] == PEOPLE
    assert means["num_images"] == IMAGES
    assert len(files) == 2 * PEOPLE
    metadata = json.loads(files[layout.lora_metadata_name(1)])
    assert metadata["name"] == "person_1"
    assert set(metadata["weights"]) == {"base", "recognizer", "detector"}

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(LoraTrainer, "train", never)
    assert train(config) == means
    assert files_of(config) == files


def test_stopped_half_way_it_ends_with_the_same_bytes(lora_config):
    whole = lora_config("personalization.loras=whole")
    train(whole)
    config = lora_config()
    committed = []

    def stop_after_two(fleet, open_maker, units, on_done, draining, on_state):
        def count(shard):
            on_done(shard)
            committed.append(shard.unit)

        inline.run_units(fleet, open_maker, units, count, lambda: len(committed) >= 2)

    with pytest.raises(
        PlanError, match=r"personalization\.loras: 2 LoRAs are missing; the same command"
    ):
        finetune(config, stop_after_two, log=quiet)
    assert committed_units(store_of(config)) == {0, 1}
    train(config)
    resumed, uninterrupted = files_of(config), files_of(whole)
    assert {name: data for name, data in resumed.items() if name.endswith(".safetensors")} == {
        name: data for name, data in uninterrupted.items() if name.endswith(".safetensors")
    }


OPEN = """
import pickle, sys
from pathlib import Path
from factory.synthesis.lora_maker import LoraMaker
LoraMaker.open(pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2])
"""


def opened(config, tmp_path, **variables) -> str:
    """What a process with such variables says when it opens a maker, its last line."""
    file = tmp_path / "config.pickle"
    file.write_bytes(pickle.dumps(config))
    prefix = layout.loras_prefix("tiny", config.personalization.loras)
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, str(file), prefix],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=110,
    )
    return ended.stderr.strip().splitlines()[-1] if ended.returncode else "opened"


def test_a_lora_maker_whose_canary_differs_is_refused(lora_config, tmp_path):
    config = lora_config("compute.precision=fp32")  # bf16 fails on such kernels
    train(config)
    assert opened(config, tmp_path) == "opened"
    line = opened(config, tmp_path, ATEN_CPU_CAPABILITY="default")
    assert line.startswith("factory.errors.OtherMachine: this maker is not as planned (canary: ")
    assert "ATEN_CPU_CAPABILITY: 'default' here, not set in the plan" in line


@pytest.mark.parametrize("name", ["lora", "priors"])
def test_each_digest_of_a_lora_canary_is_compared(lora_config, monkeypatch, name):
    config = lora_config()
    train(config)
    planned = read_lora_plan(store_of(config)).canary
    other = replace(planned, digests=planned.digests | {name: "0"})
    monkeypatch.setattr(lora_maker, "train_canary", lambda *args: other)
    with pytest.raises(OtherMachine, match=rf"canary: other {name} than planned"):
        lora_maker.LoraMaker.open(config, layout.loras_prefix("tiny", "all"))


def test_a_headless_driver_of_loras_asks_another_process_for_its_device(lora_config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = lora_config("compute.device=cuda")
    cpu = replace(config, compute=replace(config.compute, device="cpu"))
    asked = []

    def on_device(function, given, *args):
        asked.append(function)
        assert given.compute.device == "cuda"
        return function(cpu, *args)

    def on_workers(fleet, open_maker, units, on_done, draining, on_state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(config, on_workers, on_device=on_device, log=quiet)
    assert asked == [lora_finetuning.complete]
    plan = read_lora_plan(store_of(config))
    assert plan.request.compute.device == "cpu"
    assert plan.canary
    train(cpu)  # goes on, and plans nothing anew
    assert read_lora_plan(store_of(config)) == plan


def test_one_who_raises_is_quarantined(lora_config, monkeypatch):
    config, real = lora_config("release.max_failed_fraction=0.5"), LoraTrainer.train

    def train_but_one(booth, name, *rest, **options):
        if name == "person_2":
            raise FloatingPointError("nan")
        return real(booth, name, *rest, **options)

    monkeypatch.setattr(LoraTrainer, "train", train_but_one)
    assert train(config)["num_people"] == PEOPLE - 1
    failure = json.loads(store_of(config).get(layout.quarantine_name(2)))
    assert "nan" in failure["error"]
    assert not store_of(config).exists(layout.lora_name(2))


def test_a_set_is_not_finished_while_a_committed_file_is_gone(lora_config):
    config = lora_config()
    train(config)
    store = store_of(config)
    store.delete(layout.SUCCESS)
    store.delete(layout.lora_name(1))
    with pytest.raises(IntegrityError, match=r"loras/000001\.safetensors is gone.*--uncommit 1"):
        train(config)
    assert not store.exists(layout.SUCCESS)


@pytest.mark.parametrize(("device", "goes_on"), [("cpu", False), ("cuda", True)])
def test_an_orphan_lora_of_other_bytes_is_an_alarm_on_a_cpu_alone(
    device, goes_on, lora_config, monkeypatch
):
    config = lora_config()
    train(config)
    store, real = store_of(config), LoraTrainer.train

    def train_otherwise(trainer, *arguments, **named):
        return real(trainer, *arguments, **named) | {"other": 1.0}

    with closing(LoraMaker.open(config, store.url.removeprefix(f"{config.store.url}/"))) as maker:
        monkeypatch.setattr(LoraTrainer, "train", train_otherwise)
        request = maker._plan.request
        compute = replace(request.compute, device=device)
        maker._plan = replace(maker._plan, request=replace(request, compute=compute))
        if goes_on:
            assert maker.make(1) == [read_commit(store, 1)]
            assert len(store.list(layout.DIFFERENCES)) == 1
        else:
            with pytest.raises(IntegrityError, match=r"unit 1.*same plan gave other bytes"):
                maker.make(1)


def test_other_settings_and_bad_input_are_refused(lora_config, base_folder, tmp_path):
    train(lora_config())
    with pytest.raises(PlanError, match=r"was begun otherwise \(recipe\.steps: 2 there, 3 asked"):
        train(lora_config("personalization.steps=3"))
    with pytest.raises(
        ConfigError, match=r"source\.detector: got null with personalization\.crop=box"
    ):
        train(lora_config("personalization.crop=box", "source.detector=null"))
    with pytest.raises(ConfigError, match=r"personalization\.loras: got '../x'"):
        lora_config("personalization.loras=../x")
    with pytest.raises(ConfigError, match=r"personalization\.loras: nothing given"):
        train(
            replace(
                lora_config(), personalization=replace(lora_config().personalization, loras=None)
            )
        )
    poor = tmp_path / "poor"
    shutil.copytree(base_folder, poor)
    measured = {"round_trip_cosine": 0.9, "face_share": 0.72}
    (poor / "miniature.json").write_text(json.dumps({"metrics": measured}))
    with pytest.raises(CheckpointError, match=r"has a face_share of 0\.720; want at least 0\.9"):
        train(lora_config(f"base_model.path={poor}"))
    (poor / "miniature.json").write_text('{"metrics": {"round_trip_cosine": 0.9}}')
    with pytest.raises(CheckpointError, match=r"face_share of .* was not measured"):
        train(lora_config(f"base_model.path={poor}"))


def test_somebody_without_a_face_is_named_before_anything_is_trained(lora_config, monkeypatch):
    class Nobody:
        def __call__(self, image_CHW):
            return None

    monkeypatch.setattr(lora_finetuning, "face_crop", lambda config, face_px: Nobody())
    with pytest.raises(SourceError, match=r"of 'person_0' \(4 of 4 people\)"):
        train(lora_config())


def test_a_release_is_drawn_by_them(lora_config):
    config = lora_config()
    with pytest.raises(PlanError, match="is not a finished set of LoRAs"):
        build(config, inline.run_units, log=quiet)
    train(config)
    build(config, inline.run_units, log=quiet)
    release = open_store(config.store).below(layout.release_prefix("tiny", "0.1.0"))
    assert verify(release) == []
    told = read_lineage(release)
    lora, base, recognizer, detector = told.networks
    assert lora.sha256 == sealed_plan(release).request.weights["loras"]
    assert lora.trained_with == {"base": base.sha256, "recognizer": recognizer.sha256}
    assert [(one.num_images, one.num_people) for one in lora.learned_from] == [(12, 4)]
    assert (base.role, base.license) == ("base", "unknown")
    assert (detector.role, detector.license) == ("detector", "Apache-2.0")
    units = committed_units(release)
    rows = [row for unit in units for row in metadata_rows(release, unit)]
    assert len(rows) == 2 * PEOPLE
    assert {row["kind"] for row in rows} == {"real"}
    prompts = {row["prompt"] for row in rows}
    assert len(prompts) > 2
    assert all("portrait photo of sks person" in prompt for prompt in prompts)
    shards = [read_commit(release, unit) for unit in units]
    assert any("longer than the text encoder reads" in line for s in shards for line in s.remarks)

    # the same bytes whichever way batches fall, and other people look otherwise
    other = replace(config, release=replace(config.release, version="0.2.0"))
    other = replace(other, personalization=replace(other.personalization, lora_cache=1))
    build(other, inline.run_units, log=quiet)
    again = open_store(config.store).below(layout.release_prefix("tiny", "0.2.0"))
    tars = [name for name in release.list("data/")]
    assert tars
    assert all(release.get(name) == again.get(name) for name in tars)

    # a further version of the same people goes on with other numbers
    extending = lora_config("identities.extends=0.1.0", "release.version=0.3.0", "release.seed=4")
    build(extending, inline.run_units, log=quiet)
    further = open_store(config.store).below(layout.release_prefix("tiny", "0.3.0"))
    assert verify(further) == []
    units_on = committed_units(further)
    rows_on = [row for unit in units_on for row in metadata_rows(further, unit)]
    assert {row["identity"] for row in rows_on} == set(range(PEOPLE, 2 * PEOPLE))
    assert not units & units_on
    _, roster = open_plan(further)
    assert [person.name for person in roster.identities] == [f"person_{i}" for i in range(PEOPLE)]
    assert reproduce(extending, further, rows_on[-1]["key"]).equal


def test_a_release_refuses_another_base_and_people_without_one(
    lora_config, people, base_folder, tmp_path
):
    train(lora_config())
    copy = tmp_path / "copy"
    shutil.copytree(base_folder, copy)
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.012", "0.013"))
    with pytest.raises(CheckpointError, match=r"base_model\.path: has sha256 .* were trained on"):
        build(lora_config(f"base_model.path={copy}"), inline.run_units, log=quiet)
    with_stranger = tmp_path / "more"
    shutil.copytree(people, with_stranger)
    (with_stranger / "stranger").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(with_stranger / "stranger" / "0.png")
    with pytest.raises(PlanError, match=r"has no LoRA of 'stranger' \(1 of 5 people"):
        build(lora_config(f"source.path={with_stranger}"), inline.run_units, log=quiet)
    with pytest.raises(
        ConfigError, match=r"identities\.num_virtual: got 3 with release\.method=lora"
    ):
        lora_config("identities.num_virtual=3")


def test_a_set_is_finished_with_the_photographs_as_they_were_aligned(lora_config, tmp_path):
    table = tmp_path / "points.csv"
    header = "file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n"
    table.write_text(f"{header}x.png,1,2,31,2,16,20,4,40,28,40\n")
    config = lora_config(f"source.landmarks={table}")
    train(config)
    table.write_text(f"{header}x.png,1,3,31,3,16,20,4,40,28,40\n")
    with pytest.raises(PlanError, match=r"begun otherwise \(source\.alignment\.landmarks: "):
        train(config)
    prefix = layout.loras_prefix("tiny", "all")
    with pytest.raises(IntegrityError, match=r"not as planned \(source\.alignment\.landmarks: "):
        LoraMaker.open(config, prefix)


def test_an_older_set_that_says_nothing_of_alignment_is_finished(lora_config):
    config = lora_config()
    means = train(config)
    path = store_of(config).path(layout.PLAN)
    body = json.loads(path.read_text())
    del body["plan_hash"], body["request"]["source"]["alignment"]
    body["plan_hash"] = hashlib.sha256(canonical(body)).hexdigest()
    path.unlink()
    path.write_text(json.dumps(body))
    for unit in range(PEOPLE):  # their records name the hash of the plan
        for name in (layout.commit_name(unit), layout.lora_name(unit)):
            store_of(config).path(name).unlink()
        store_of(config).path(layout.lora_metadata_name(unit)).unlink()
    store_of(config).path(layout.SUCCESS).unlink()
    assert train(config)["num_people"] == means["num_people"]
