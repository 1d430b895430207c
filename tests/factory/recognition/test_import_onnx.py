"""An insightface model is imported as a recognizer, with centers for prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from factory.checkpoint import any_metadata
from factory.config import load
from factory.errors import CheckpointError
from factory.provenance.networks import records_of
from factory.recognition.embed import Recognizer
from factory.recognition.export_onnx import export_pack
from factory.recognition.import_onnx import import_recognizer
from factory.recognition.verification import summary
from factory.sources import training_faces
from tests.conftest import draw_face

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # because insightface and torch.onnx warn freely


def test_an_imported_model_is_a_recognizer_without_gradients(pack, tmp_path):
    for person in range(6):
        (tmp_path / "people" / str(person)).mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(draw_face(person, i, 112))
            image.save(tmp_path / "people" / str(person) / f"{i}.png")
    (tmp_path / "c.yaml").write_text("judge: {checkpoint: null}\n")
    out = [f"recognizer.checkpoint={pack}", f"training.out={tmp_path / 'imported'}"]
    out += ["source.kind=folder", f"source.path={tmp_path / 'people'}"]
    out += ["source.license=CC-BY-4.0", "checkpoint.license=research-only"]
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
    own, weights = records_of(any_metadata(str(tmp_path / "imported")))
    assert own.trained_with == {"onnx": weights.sha256}
    assert [(one.num_images, one.num_people, one.license) for one in own.learned_from] == [
        (12, 4, "CC-BY-4.0")
    ]
    assert (weights.role, weights.license, weights.is_told) == ("onnx", "research-only", False)
    assert not imported.has_gradients
    with pytest.raises(CheckpointError, match="is a checkpoint already"):
        import_recognizer(load(tmp_path / "c.yaml", ["recognizer.checkpoint=starter:judge"]))
    with pytest.raises(CheckpointError, match="takes images of 112 px"):
        import_recognizer(load(tmp_path / "c.yaml", [*out, "source.image_px=64"]))
    with pytest.raises(CheckpointError, match="is an imported ONNX already"):
        export_pack(str(tmp_path / "imported"), tmp_path / "pack")
