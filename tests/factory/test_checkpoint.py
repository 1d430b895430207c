"""Checkpoints come back as they went, or are refused by name."""

from __future__ import annotations

import json

import pytest
import torch

from factory import checkpoint
from factory.errors import CheckpointError


@pytest.fixture
def saved(tmp_path):
    draw = torch.Generator().manual_seed(0)
    tensors = {"w": torch.randn(8, 8, generator=draw), "b": torch.randn(8, generator=draw)}
    unsaved = checkpoint.Checkpoint("recognizer", tensors, {"a": 1}, 7, {"auc": 0.9}, {}, "")
    sha256 = checkpoint.save(tmp_path / "c", unsaved)
    return tmp_path / "c", tensors, sha256


def test_round_trip(saved):
    folder, tensors, sha256 = saved
    loaded = checkpoint.load(str(folder), "recognizer", "recognizer.checkpoint")
    assert (loaded.sha256, loaded.step, loaded.config) == (sha256, 7, {"a": 1})
    assert all(torch.equal(loaded.tensors[n], tensors[n]) for n in tensors)


def test_bf16_rounds_matrices_and_keeps_vectors(saved, tmp_path):
    _, tensors, _ = saved
    unsaved = checkpoint.Checkpoint("recognizer", tensors, {}, 0, {}, {}, "")
    checkpoint.save(tmp_path / "half", unsaved, bf16=True)
    loaded = checkpoint.load(str(tmp_path / "half"), "recognizer", "k").tensors
    assert torch.equal(loaded["w"], tensors["w"].bfloat16().float())
    assert torch.equal(loaded["b"], tensors["b"])


def test_altered_weights_are_refused(saved):
    folder, _, _ = saved
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: weights .* sha256"):
        checkpoint.load(str(folder), "recognizer", "recognizer.checkpoint")


def test_wrong_kind_missing_and_broken_json_are_refused(saved, tmp_path):
    folder, _, _ = saved
    with pytest.raises(CheckpointError, match="holds a recognizer; want a generator"):
        checkpoint.read_metadata(str(folder), "generator", "generator.checkpoint")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        checkpoint.read_metadata(str(tmp_path / "none"), "generator", "generator.checkpoint")
    (folder / "checkpoint.json").write_text(json.dumps({"kind": "recognizer"}))
    with pytest.raises(CheckpointError, match="not a checkpoint's JSON"):
        checkpoint.read_metadata(str(folder), "recognizer", "k")


def test_packing_keeps_the_lineage_true(weights, tmp_path):
    names = {role: str(weights / role) for role in ("recognizer", "autoencoder", "generator")}
    names["judge"] = str(weights / "judge")
    sizes = checkpoint.pack(names, tmp_path)
    assert set(sizes) == set(names)
    sha256 = {
        role: checkpoint.read_metadata(str(tmp_path / role), role, "k")["sha256"]
        for role in ("recognizer", "autoencoder")
    }
    generator = checkpoint.load(str(tmp_path / "generator"), "generator", "k")
    assert generator.lineage == sha256
    original = (weights / "recognizer" / "weights.safetensors").stat().st_size
    assert sizes["recognizer"] < 0.6 * original
