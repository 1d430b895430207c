"""LoRAs of everybody: committed once, resumed, quarantined; then a release that they draw."""

import json
import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.errors import CheckpointError, ConfigError, IntegrityError, PlanError, SourceError
from factory.execution import inline
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import committed_units
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.shards.writer import read_commit
from factory.store import open_store
from factory.synthesis import lora_finetuning
from factory.synthesis.lora_finetuning import finetune
from factory.synthesis.lora_maker import LoraMaker
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

    def stop_after_two(fleet, open_maker, units, on_done, draining):
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


def test_one_who_raises_is_quarantined(lora_config, monkeypatch):
    config, real = lora_config("release.max_failed_fraction=0.5"), LoraTrainer.train

    def train_but_one(booth, name, images, beat):
        if name == "person_2":
            raise FloatingPointError("nan")
        return real(booth, name, images, beat)

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

    def train_otherwise(trainer, name, images, beat):
        return real(trainer, name, images, beat) | {"other": 1.0}

    monkeypatch.setattr(LoraTrainer, "train", train_otherwise)
    with closing(LoraMaker.open(config, store.url.removeprefix(f"{config.store.url}/"))) as maker:
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
        ConfigError, match=r"source\.detector: nothing given with personalization\.crop=box"
    ):
        train(lora_config("personalization.crop=box"))
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
