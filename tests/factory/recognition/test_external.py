"""External recognizers: insightface packs, ONNX files and dlib embed, and are found by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from factory.checkpoint import file_sha256
from factory.errors import CheckpointError
from factory.recognition import external
from factory.recognition.embed import Recognizer
from factory.recognition.external import (
    DlibEmbedder,
    OnnxEmbedder,
    describe_embedder,
    onnx_file,
    open_embedder,
)

CPU = torch.device("cpu")
KEY = "judge.checkpoint"
pytestmark = pytest.mark.filterwarnings("ignore")  # because insightface and torch.onnx warn freely


def test_a_pack_or_file_is_an_embedder(pack, images):
    ours = Recognizer.load("starter:recognizer", CPU)
    for name in (str(pack), str(pack / "recognition.onnx")):
        embedder = open_embedder(name, CPU, KEY)
        assert isinstance(embedder, OnnxEmbedder)
        assert embedder.dim == ours.dim
        assert describe_embedder(name, KEY) == {"sha256": embedder.sha256}
        assert embedder.sha256 == file_sha256(pack / "recognition.onnx")
        mirrored = ours.embed_with_mirror(images)
        np.testing.assert_allclose(embedder.embed_with_mirror(images), mirrored, atol=1e-3)
        assert embedder.embed(images[:0]).shape == (0, ours.dim)


def test_a_downloaded_pack_is_found_by_name_and_never_fetched(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "PACKS", tmp_path)
    with pytest.raises(CheckpointError, match=r"judge\.checkpoint: 'buffalo_l' is neither .* disk"):
        describe_embedder("buffalo_l", KEY)
    (tmp_path / "buffalo_l").mkdir()
    for name in ("det_10g.onnx", "genderage.onnx", "w600k_r50.onnx"):
        os.link(pack / "recognition.onnx", tmp_path / "buffalo_l" / name)
    assert onnx_file("buffalo_l", KEY) == tmp_path / "buffalo_l" / "w600k_r50.onnx"
    (tmp_path / "buffalo_l" / "w600k_r50.onnx").rename(tmp_path / "buffalo_l" / "x.onnx")
    with pytest.raises(CheckpointError, match="holds 3 models and 0 look like recognition"):
        onnx_file("buffalo_l", KEY)
    with pytest.raises(CheckpointError, match=r"no such file 'none\.onnx'"):
        onnx_file("none.onnx", KEY)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        describe_embedder(str(tmp_path / "nowhere"), KEY)


def test_our_checkpoints_stay_what_they_are():
    assert isinstance(open_embedder("starter:judge", CPU, KEY), Recognizer)
    assert describe_embedder("starter:judge", KEY)["kind"] == "recognizer"


def test_dlib_judges(images):
    pytest.importorskip("dlib", reason="needs the extra eval")
    embedder = open_embedder("dlib", CPU, KEY)
    assert isinstance(embedder, DlibEmbedder)
    assert describe_embedder("dlib", KEY) == {"sha256": embedder.sha256}
    unit = embedder.embed(images[:2])
    assert unit.shape == (2, 128)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embedder.embed(images[:1]), unit[:1], atol=1e-6)


def test_what_is_not_installed_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(CheckpointError, match=r"pip install 'face-factory\[eval\]'"):
        DlibEmbedder(KEY)
