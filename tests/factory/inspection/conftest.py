"""Faces of the starter pack and their vectors by the starter's judge, made once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from factory.config import SourceConfig
from factory.recognition.external import open_embedder
from factory.sources import open_source
from factory.sources.base import FaceSet, read_faces

PEOPLE = 120


@dataclass(frozen=True)
class JudgedFaces:
    """Faces in memory and their unit vectors."""

    faces: FaceSet
    unit_ND: np.ndarray


@pytest.fixture(scope="session")
def starter() -> JudgedFaces:
    """The first PEOPLE people of the starter pack, ten images each."""
    faces = read_faces(open_source(SourceConfig(num_identities=PEOPLE)), 0.0)
    judge = open_embedder("starter:judge", torch.device("cpu"), "judge.checkpoint")
    return JudgedFaces(faces, judge.embed(faces.images_NHWC))
