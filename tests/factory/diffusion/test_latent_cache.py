"""Latents and conditions, mirrors too, in memory or in files of all ranks."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.latent_cache import TrainingCache, of_both
from factory.diffusion.train import train
from factory.errors import CheckpointError
from factory.images import to_uint8
from factory.recognition.embed import Recognizer
from factory.sources import FaceSet
from factory.training.batch_order import BatchOrder
from factory.training.faces import open_faces
from factory.training.rows import ReadAhead, Rows
from tests.conftest import PX
from tests.factory.diffusion.conftest import CPU, faces_of, quiet
from tests.mapped import small_shards
from tests.ranks import run_ranks


def test_cache_holds_mirrors_and_their_own_embeddings(recipe):
    config = recipe("generator.space=pixels")
    faces = faces_of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    cache = TrainingCache(faces, recognizer, None, "image")
    flipped = np.arange(len(faces)) % 2
    x, unit = cache.rows(flipped, np.arange(len(faces)))
    for row, image in enumerate(to_uint8(x)):
        plain = faces.images_NHWC[row]
        assert np.array_equal(image, plain[:, ::-1] if flipped[row] else plain)
        own = recognizer.embed(image[None])[0]
        np.testing.assert_allclose(unit[row].numpy(), own, atol=1e-4)


def test_latents_of_mirrors_are_those_of_mirrored_images(recipe):
    config = recipe()
    faces = faces_of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, CPU, "fp32")
    cache = TrainingCache(faces, recognizer, autoencoder, "image")
    flipped, chosen = np.array([0, 1]), np.array([4, 4])
    x, unit = cache.rows(flipped, chosen)
    both = np.stack([faces.images_NHWC[4], faces.images_NHWC[4][:, ::-1]])
    torch.testing.assert_close(x, autoencoder.encode(both), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(unit.numpy(), recognizer.embed(both), atol=1e-4)
    assert (x[0] - x[1]).abs().max() > 0.01


def test_prototype_condition_needs_known_people(recipe):
    config = recipe()
    faces = faces_of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    cache = TrainingCache(faces, recognizer, None, "prototype")
    _, unit = cache.rows(np.array([0, 1]), np.array([0, 4]))
    np.testing.assert_allclose(unit.numpy(), recognizer.unit_real[faces.labels[[0, 4]]])
    recognizer.real_names = ["somebody else"]
    with pytest.raises(CheckpointError, match=r"generator\.condition"):
        TrainingCache(faces, recognizer, None, "prototype")


def test_a_shard_is_encoded_a_batch_at_a_time():
    images = np.random.default_rng(0).integers(0, 256, (150, 4, 4, 3), np.uint8)
    keys, labels = [str(i) for i in range(150)], np.zeros(150, int)
    sizes = []

    def encode(batch):
        sizes.append(len(batch))
        return batch[:, 0].astype(np.float32)

    rows = of_both(FaceSet(images, labels, keys, ["somebody"], []), encode)(slice(10, 200))
    assert sizes == [64, 64, 64, 64, 12, 12]
    assert (rows == np.stack([images[10:, 0], images[10:, 0, ::-1]], 1)).all()


def in_files(recipe, folder, monkeypatch):
    """(a cache in memory, the same in files of five faces, the faces in memory) of latents."""
    small_shards(monkeypatch, 5)
    faces, mapped = faces_of(recipe()), open_faces(recipe(f"training.cache={folder}"))[0]
    config = recipe()
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, CPU, "fp32")
    made = [TrainingCache(each, recognizer, autoencoder, "image") for each in (faces, mapped)]
    return (*made, faces)


def test_files_hold_what_memory_holds(recipe, tmp_path, monkeypatch):
    memory, files, faces = in_files(recipe, tmp_path / "cache", monkeypatch)
    chosen = np.random.default_rng(0).permutation(len(faces))
    flipped = np.arange(len(faces)) % 2
    for part in zip(memory.rows(flipped, chosen), files.rows(flipped, chosen), strict=True):
        assert torch.equal(*part)
    assert torch.equal(memory.some_people(3), files.some_people(3))
    for kind in ("latents", "embeddings", "pixels"):
        made = (tmp_path / "cache").glob(f"{kind}-*/0*.npy")
        assert len(list(made)) == -(-len(faces) // 5)


@pytest.mark.parametrize(
    "settings",
    [
        ["generator.space=latents"],
        ["generator.space=pixels", "generator.patch=4"],
        ["generator.condition=prototype", "source.holdout_identities=2"],
    ],
    ids=lambda settings: settings[0].partition("=")[2],
)
def test_a_training_on_files_is_the_one_in_memory(recipe, tmp_path, settings):
    """Bit for bit, of shards that hold whole batches of the networks."""
    settings = [*settings, "training.max_steps=3", "training.faces_in_memory_bytes="]
    results = []
    for most in ("1000000", "0"):
        out = tmp_path / most
        train(recipe(*settings[:-1], settings[-1] + most, f"training.out={out}"), quiet)
        assert (out / "faces").exists() == (most == "0")
        results.append(checkpoint.load(str(out), "generator", "x").tensors)
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def trained(dotlist: list[str], file: str, outs: list[str]) -> None:
    """Train a generator as one of some ranks, with faces in memory and then in files."""
    for out, most in zip(outs, (10**6, 0), strict=True):
        further = [f"training.out={out}", f"training.faces_in_memory_bytes={most}"]
        train(load(file, [*dotlist, *further]), quiet)


@pytest.mark.slow
def test_two_ranks_train_on_files_as_in_memory(people, weights, tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    settings = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
    settings += ["compute.precision=fp32", "compute.device=cpu", "training.max_steps=3"]
    settings += [f"{kind}.checkpoint={weights / kind}" for kind in ("recognizer", "autoencoder")]
    settings += ["generator.width=32", "generator.depth=3", "generator.num_heads=2"]
    settings += ["generator.batch_size=6"]
    outs = [str(tmp_path / name) for name in ("memory", "files")]
    arguments = {"dotlist": settings, "file": str(tmp_path / "c.yaml"), "outs": outs}
    run_ranks(f"{__name__}:trained", 2, arguments)
    memory, files = (checkpoint.load(out, "generator", "x").sha256 for out in outs)
    assert memory == files
    assert (tmp_path / "files" / "faces").exists()
    assert not (tmp_path / "memory" / "faces").exists()


def test_files_are_made_once(recipe, tmp_path, monkeypatch):
    config = recipe(f"training.cache={tmp_path / 'cache'}", "training.max_steps=1")
    train(config, quiet)
    monkeypatch.setattr(Recognizer, "embed", lambda *_: pytest.fail("embedded again"))
    monkeypatch.setattr(Autoencoder, "encode", lambda *_: pytest.fail("encoded again"))
    monkeypatch.setattr("factory.diffusion.train.measure_generator", lambda *_, **__: {})
    train(recipe(f"training.cache={tmp_path / 'cache'}", "training.max_steps=2"), quiet)


def test_another_network_makes_other_files_and_leaves_the_rest(recipe, tmp_path, weights):
    folder = f"training.cache={tmp_path / 'cache'}"
    train(recipe(folder, "training.max_steps=1"), quiet)
    other = tmp_path / "other"
    stored = checkpoint.load(str(weights / "autoencoder"), "autoencoder", "x")
    tensors = {name: tensor + 0.01 for name, tensor in stored.tensors.items()}
    checkpoint.save(other, replace(stored, tensors=tensors))
    out = f"training.out={tmp_path / 'again'}"
    train(recipe(folder, out, f"autoencoder.checkpoint={other}", "training.max_steps=1"), quiet)
    names = [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()]
    assert sorted(names) == ["embeddings", "latents", "latents", "pixels"]


def test_a_step_reads_what_the_thread_has_touched(recipe, tmp_path, monkeypatch):
    """Rows of every step but the first are touched, in latents and embeddings, by a thread."""
    touched, threads = [], set()

    def touch(self, chosen):
        touched.append(chosen.tolist())
        threads.add(threading.current_thread().name)

    monkeypatch.setattr(Rows, "touch", touch)
    monkeypatch.setattr(ReadAhead, "begin", Waiting.begin)
    train(recipe("training.faces_in_memory_bytes=0", "training.max_steps=4"), quiet)
    order = BatchOrder(0, 12, 6)
    assert touched == [order.batch(step).tolist() for step in (1, 1, 2, 2, 3, 3)]
    assert threads == {"read_ahead_0"}
    touched.clear()
    train(recipe("training.max_steps=2", f"training.out={tmp_path / 'memory'}"), quiet)
    assert touched == []  # in memory


class Waiting(ReadAhead):
    """Waits for its thread, so that it never skips rows for which it has no time."""

    def begin(self, rows_B):
        self._pool.submit(self._touch, rows_B).result()


def test_prototypes_and_pixels_are_stored_nowhere_else(recipe, tmp_path):
    settings = ["generator.space=pixels", "generator.patch=4", "generator.condition=prototype"]
    folder = tmp_path / "cache"
    train(recipe(*settings, f"training.cache={folder}", "training.max_steps=1"), quiet)
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["pixels"]
