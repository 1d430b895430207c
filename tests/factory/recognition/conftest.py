"""An insightface pack, exported once."""

from __future__ import annotations

import numpy as np
import pytest

from factory.recognition.export_onnx import export_pack
from tests.conftest import draw_face


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """The starter recognizer as an insightface pack."""
    pytest.importorskip("insightface", reason="needs the extra eval")
    folder = tmp_path_factory.mktemp("packs") / "ours"
    export_pack("starter:recognizer", folder)
    return folder


@pytest.fixture(scope="session")
def images():
    return np.stack([draw_face(person, 0, 112) for person in range(5)])
