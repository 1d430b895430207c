"""External recognizers: our export embeds the same in insightface; packs, files and dlib judge."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from factory.checkpoint import file_sha256
from factory.config import load
from factory.errors import CheckpointError
from factory.recognition import external
from factory.recognition.embed import Recognizer
from factory.recognition.export_onnx import export_pack
from factory.recognition.external import (
    DlibEmbedder,
    OnnxEmbedder,
    describe_embedder,
    onnx_file,
    open_embedder,
)
from factory.recognition.import_onnx import import_recognizer
from factory.recognition.verification import summary
from factory.sources import training_faces
from tests.conftest import draw_face

CPU = torch.device("cpu")
KEY = "judge.checkpoint"
pytestmark = pytest.mark.filterwarnings("ignore")  # because insightface and torch.onnx warn freely


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The starter recognizer as an insightface pack."""
    pytest.importorskip("insightface", reason="needs the extra eval")
    folder = tmp_path_factory.mktemp("packs") / "ours"
    export_pack("starter:recognizer", folder)
    return folder


@pytest.fixture(scope="module")
def images():
    return np.stack([draw_face(person, 0, 112) for person in range(5)])


def test_insightface_embeds_with_our_export_as_we_do(pack, images):
    from insightface.model_zoo import get_model

    model = get_model(str(pack / "recognition.onnx"), providers=["CPUExecutionProvider"])
    theirs = model.get_feat([np.ascontiguousarray(image[:, :, ::-1]) for image in images])
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = Recognizer.load("starter:recognizer", CPU).embed(images)
    np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert model.get_feat(np.ascontiguousarray(images[0])).shape == (1, ours.shape[1])


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


def test_an_imported_model_is_a_recognizer_without_gradients(pack, tmp_path):
    for person in range(6):
        (tmp_path / "people" / str(person)).mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(draw_face(person, i, 112))
            image.save(tmp_path / "people" / str(person) / f"{i}.png")
    (tmp_path / "c.yaml").write_text("judge: {checkpoint: null}\n")
    out = [f"recognizer.checkpoint={pack}", f"training.out={tmp_path / 'imported'}"]
    out += ["source.kind=folder", f"source.path={tmp_path / 'people'}"]
    config = load(tmp_path / "c.yaml", [*out, "source.holdout_identities=2"])
    metrics = import_recognizer(config, lambda line: None)
    imported = Recognizer.load(str(tmp_path / "imported"), CPU)
    ours = Recognizer.load("starter:recognizer", CPU)
    faces, heldout = training_faces(config.source)
    some = faces.images_NHWC[:3]
    np.testing.assert_allclose(imported.embed(some), ours.embed(some), atol=1e-3)
    wanted = summary(ours.embed(heldout.images_NHWC), heldout.labels)
    assert metrics["heldout"]["auc"] == pytest.approx(wanted["auc"], abs=1e-3)
    own = ours.embed(faces.images_NHWC)[faces.labels == 3].sum(0)
    cosine = imported.unit_real[3] @ own / np.linalg.norm(own)
    assert cosine == pytest.approx(1, abs=1e-3)
    assert imported.real_names == faces.names
    assert not imported.has_gradients
    with pytest.raises(CheckpointError, match="is a checkpoint already"):
        import_recognizer(load(tmp_path / "c.yaml", ["recognizer.checkpoint=starter:judge"]))
    with pytest.raises(CheckpointError, match="takes images of 112 px"):
        import_recognizer(load(tmp_path / "c.yaml", [*out, "source.image_px=64"]))
    with pytest.raises(CheckpointError, match="is an imported ONNX already"):
        export_pack(str(tmp_path / "imported"), tmp_path / "pack")


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
