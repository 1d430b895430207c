"""Latents and conditions, mirrors too, in memory or in files of all ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from factory.diffusion import latent_cache
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.train import train
from factory.errors import CheckpointError, ConfigError
from factory.images import to_uint8
from factory.recognition.embed import Recognizer
from tests.factory.diffusion.conftest import CPU, faces_of, quiet
from tests.unaligned import draw_unaligned, write_table


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


def in_files(recipe, folder, monkeypatch):
    """(a cache in memory, the same in files of five faces) of latents."""
    monkeypatch.setattr(latent_cache, "SHARD", 5)
    config = recipe()
    faces = faces_of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, CPU, "fp32")
    made = [
        TrainingCache(faces, recognizer, autoencoder, "image", where) for where in (None, folder)
    ]
    return (*made, faces)


def test_files_hold_what_memory_holds(recipe, tmp_path, monkeypatch):
    folder = str(tmp_path / "cache")
    memory, files, faces = in_files(recipe, folder, monkeypatch)
    chosen = np.random.default_rng(0).permutation(len(faces))
    flipped = np.arange(len(faces)) % 2
    for part in zip(memory.rows(flipped, chosen), files.rows(flipped, chosen), strict=True):
        assert torch.equal(*part)
    assert torch.equal(memory.some_people(3), files.some_people(3))
    assert len(list((tmp_path / "cache").rglob("x-*.npy"))) == -(-len(faces) // 5)


def test_files_are_made_once(recipe, tmp_path, monkeypatch):
    config = recipe(f"training.cache={tmp_path / 'cache'}", "training.max_steps=1")
    train(config, quiet)
    monkeypatch.setattr(Recognizer, "embed", lambda *_: pytest.fail("embedded again"))
    train(recipe(f"training.cache={tmp_path / 'cache'}", "training.max_steps=2"), quiet)


def test_other_people_in_the_same_images_are_another_cache(recipe, tmp_path):
    config, folder = recipe(), str(tmp_path / "cache")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    faces = faces_of(config)
    others = replace(faces, labels=faces.labels[::-1].copy(), fingerprint="others")
    for labeled in (faces, others):
        cache = TrainingCache(labeled, recognizer, None, "prototype", folder)
        _, unit = cache.rows(np.array([0]), np.array([0]))
        np.testing.assert_allclose(unit.numpy(), recognizer.unit_real[labeled.labels[:1]])


def test_each_rank_makes_its_share(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match=r"training\.cache: .*x-00000\.npy was made by another"):
        in_files(recipe, str(tmp_path / "cache"), monkeypatch)
    made = sorted(file.name for file in (tmp_path / "cache").rglob("x-*.npy"))
    assert made == ["x-00001.npy"] or made == ["x-00001.npy", "x-00003.npy"]
    monkeypatch.setenv("RANK", "0")  # the other one, which finds its part
    in_files(recipe, str(tmp_path / "cache"), monkeypatch)


def test_latents_of_faces_that_were_cut_otherwise_are_not_used(recipe, tmp_path):
    table = write_table(tmp_path / "points.csv")
    source = [f"source.path={draw_unaligned(tmp_path / 'images')}", f"source.landmarks={table}"]
    config, folder = recipe(*source), str(tmp_path / "cache")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)

    def latents():
        cache = TrainingCache(faces_of(config), recognizer, None, "image", folder)
        return cache.rows(np.array([0]), np.array([0]))[0]

    before = latents()
    write_table(table, shift=5)
    assert not torch.equal(latents(), before)
    write_table(table)
    assert torch.equal(latents(), before)
    assert len(list((tmp_path / "cache").iterdir())) == 2
