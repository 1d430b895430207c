"""Our export loads in insightface and embeds the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory.checkpoint import file_sha256
from factory.errors import CheckpointError
from factory.recognition.embed import Recognizer
from factory.recognition.export_onnx import export_pack

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # because insightface and torch.onnx warn freely


def test_insightface_embeds_with_our_export_as_we_do(pack, images):
    from insightface.model_zoo import get_model

    model = get_model(str(pack / "recognition.onnx"), providers=["CPUExecutionProvider"])
    theirs = model.get_feat([np.ascontiguousarray(image[:, :, ::-1]) for image in images])
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = Recognizer.load("starter:recognizer", CPU).embed(images)
    np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert model.get_feat(np.ascontiguousarray(images[0])).shape == (1, ours.shape[1])


def test_the_json_says_what_was_exported(pack):
    ours = Recognizer.load("starter:recognizer", CPU)
    assert json.loads((pack / "recognition.json").read_text()) == {
        "dim": ours.dim,
        "image_px": 112,
        "recognizer": ours.sha256,
        "sha256": file_sha256(pack / "recognition.onnx"),
    }


def test_sizes_that_insightface_does_not_take_are_refused(weights, tmp_path):
    with pytest.raises(CheckpointError, match="is for 32 px; insightface takes models of at least"):
        export_pack(str(weights / "recognizer"), tmp_path)
    assert list(tmp_path.iterdir()) == []
