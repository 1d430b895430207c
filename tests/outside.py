"""Data that a few slow tests use where it is there: photographs of LFW and a face detector.

FACE_FACTORY_DATA names its folder, which holds lfw_dev/train112.tar and test112.tar (a folder for
each person, 112 px) and models/yunet_n_640_640.onnx; it is shared/data next to the repository where
the variable is not set.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FACE_FACTORY_DATA", Path(__file__).parents[2] / "shared/data"))
LFW = DATA / "lfw_dev/train112.tar"
DETECTOR = DATA / "models/yunet_n_640_640.onnx"
needs_data = pytest.mark.skipif(
    not (LFW.is_file() and DETECTOR.is_file()),
    reason="needs LFW and YuNet in FACE_FACTORY_DATA (tests/outside.py)",
)
