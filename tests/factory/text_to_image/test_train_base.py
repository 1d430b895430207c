"""A text-to-image model from nothing: it learns, resumes, and is an ordinary pipeline folder."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from factory import checkpoint
from factory.checkpoint import Checkpoint
from factory.config import BaseModelConfig, load
from factory.diffusion.autoencoder import build
from factory.errors import CheckpointError
from factory.store import open_store
from factory.text_to_image import train_base
from factory.text_to_image.base_model import digest, locate
from factory.text_to_image.base_provenance import base_records, require_base_license
from factory.text_to_image.train_base import (
    METADATA,
    START,
    learn_tokenizer,
    refuse_poor_base,
    tokens_of,
    train,
)
from tests.base_model import TINY, save_base
from tests.conftest import PEOPLE, PX
from tests.recorded import record_batches


def test_the_tokenizer_learns_words_and_knows_every_other():
    recipe = replace(TINY, vocabulary=600)
    tokenizer = learn_tokenizer(["photo of a person, dark hair"] * 3, recipe)
    assert tokenizer.vocab_size <= recipe.vocabulary
    ids = tokens_of(tokenizer, ["photo of sks person é", ""])
    assert ids.shape == (2, TINY.max_tokens)
    words = tokenizer.convert_ids_to_tokens(ids[0])
    assert words[0] == START
    assert "person</w>" in words
    assert "s" in words  # of sks, letter by letter
    assert tokenizer.decode(ids[0], skip_special_tokens=True).split() == [
        "photo", "of", "sks", "person", "é",
    ]  # fmt: skip


@pytest.fixture
def config(people, weights, tmp_path):
    torch.manual_seed(5)
    unit = {"latent_mean": torch.zeros(4), "latent_std": torch.ones(4)}
    tensors = dict(build((16, 16), 4, 1).state_dict()) | unit
    shape = {"widths": [16, 16], "latent_channels": 4, "block": 1}
    plain = Checkpoint("autoencoder", tensors, shape, 0, {}, {}, "")
    checkpoint.save(tmp_path / "plain", plain)
    file = tmp_path / "config.yaml"
    file.write_text("{}\n")
    return load(
        file,
        [
            "source.kind=folder",
            f"source.path={people}",
            f"source.image_px={PX}",
            f"judge.checkpoint={weights / 'judge'}",
            f"recognizer.checkpoint={weights / 'recognizer'}",
            f"autoencoder.checkpoint={tmp_path / 'plain'}",
            f"training.out={tmp_path / 'out'}",
            "compute.precision=fp32",
            "base_training.widths=[32,32]",
            "base_training.text_width=32",
            "base_training.text_layers=1",
            "base_training.max_tokens=16",
            "base_training.vocabulary=530",
            "base_training.batch_size=4",
            "base_training.num_samples=8",
            "training.max_steps=6",
        ],
    )


def test_it_trains_resumes_and_is_an_ordinary_folder(config, tmp_path):
    metrics = train(config, log=lambda line: None)
    assert metrics["num_samples"] == 8
    assert -1 <= metrics["round_trip_cosine"] <= 1
    folder = tmp_path / "out" / "pipeline"
    assert locate(replace(config.base_model, path=str(folder))) == folder
    metadata = json.loads((folder / METADATA).read_text())
    assert metadata["step"] == 6
    assert metadata["metrics"] == metrics
    assert (tmp_path / "out" / "sheet.png").is_file()
    written = replace(config.base_model, path=str(folder))
    own, autoencoder = base_records(written, config.checkpoint)
    assert (own.role, own.sha256) == ("base", digest(written))
    assert [(one.num_images, one.num_people) for one in own.learned_from] == [(12, 4)]
    assert own.trained_with == {"autoencoder": autoencoder.sha256}
    require_base_license(written, config.checkpoint)  # one of ours is not asked for it


@pytest.mark.s3
def test_the_pipeline_lands_in_a_bucket(config, s3_config, tmp_path, monkeypatch):
    bucket = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint_url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    training = replace(config.training, out=f"{bucket.url}/base", max_steps=1)
    metrics = train(replace(config, training=training), log=lambda line: None)
    store = open_store(bucket).below("base")
    assert json.loads(store.get(f"pipeline/{METADATA}"))["metrics"] == metrics
    assert {"pipeline/model_index.json", "sheet.png", "history.jsonl"} <= set(store.list(""))


def test_a_stopped_training_ends_as_one_that_was_not(config, tmp_path):
    def last_loss(name: str, stop_at: str) -> float:
        def log(line: str) -> None:
            if line.startswith(stop_at):
                raise KeyboardInterrupt

        out = str(tmp_path / name)
        training = replace(config.training, out=out, log_every=1, save_every_s=0.0)
        changed = replace(config, training=training)
        if stop_at != "never":
            with pytest.raises(KeyboardInterrupt):
                train(changed, log=log)
        train(changed, log=lambda line: None)
        return json.loads((tmp_path / name / "history.jsonl").read_text().splitlines()[-1])["loss"]

    assert last_loss("stopped", "step 4/6") == last_loss("whole", "never")


def test_blocks_of_pixels_are_refused(config, weights):
    blocks = replace(config.autoencoder, checkpoint=str(weights / "autoencoder"))
    with pytest.raises(CheckpointError, match=r"train one with autoencoder\.block=1"):
        train(replace(config, autoencoder=blocks), log=lambda line: None)


def test_half_of_the_faces_are_mirrored(config, monkeypatch):
    batches = record_batches(monkeypatch, train_base, "TextToImageLoss")
    recipe = replace(config.base_training, batch_size=12, epochs=100.0, num_samples=2)
    training = replace(config.training, max_steps=12)
    train(replace(config, base_training=recipe, training=training), log=lambda line: None)
    z = batches.all("z")
    assert (len(z), len(torch.unique(z.flatten(1), dim=0))) == (12 * 12, 2 * 12)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"round_trip_cosine": 0.85, "face_share": 0.95}, None),
        ({"round_trip_cosine": 0.75, "face_share": 0.95}, "round_trip_cosine of 0.750; want at"),
        ({"round_trip_cosine": 0.85, "face_share": 0.5}, "a face_share of 0.500; want at least"),
        ({"round_trip_cosine": 0.85}, "face_share of .* was not measured"),
    ],
)
def test_a_base_that_shows_nobody_is_refused(tmp_path, metrics, message):
    folder = save_base(tmp_path / "base")
    base_model = BaseModelConfig(path=str(folder))
    refuse_poor_base(base_model)  # nothing is known of it
    (folder / METADATA).write_text(json.dumps({"metrics": metrics}))
    if message is None:
        refuse_poor_base(base_model)
        return
    with pytest.raises(CheckpointError, match=message):
        refuse_poor_base(base_model)


def test_another_caption_table_is_another_training(config, tmp_path):
    """One table is put in the place of another, at the same path."""
    table = tmp_path / "described.csv"
    rows = {"dark": "name,hair\n", "fair": "name,hair\n"}
    for hair in rows:
        rows[hair] += "".join(f"person_{person},{hair}\n" for person in range(PEOPLE))
    table.write_text(rows["dark"])
    recipe = replace(config.base_training, tables=(str(table),), phrases=("{hair} hair",))
    training = replace(config.training, max_steps=1)
    config = replace(config, base_training=recipe, training=training)
    train(config, log=lambda line: None)
    table.write_text(rows["fair"])
    with pytest.raises(CheckpointError, match=r"begun with other settings or faces \(captions: "):
        train(config, log=lambda line: None)
    table.write_text(rows["dark"])
    moved = table.rename(tmp_path / "moved.csv")
    recipe = replace(recipe, tables=(str(moved),))
    train(replace(config, base_training=recipe), log=lambda line: None)


@pytest.mark.slow
def test_faces_in_files_train_the_same_network(config, tmp_path):
    written = set()
    for most in (10**6, 0):
        out, further = tmp_path / str(most), {"faces_in_memory_bytes": most, "max_steps": 2}
        training = replace(config.training, out=str(out), **further)
        train(replace(config, training=training), log=lambda line: None)
        (weights,) = (out / "pipeline/unet").glob("*.safetensors")
        written.add(weights.read_bytes())
    assert len(written) == 1
    assert len(list((tmp_path / "0/faces").glob("latents-*/*.npy"))) == 1
