"""Faces of the starter pack and their vectors by the starter's judge, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from factory.config import SourceConfig
from factory.inspection.findings import Inspection
from factory.inspection.request import request_of
from factory.inspection.writing import looked_and_written
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
    """The first PEOPLE people of the starter pack with all their images."""
    faces = read_faces(open_source(SourceConfig(num_identities=PEOPLE)), 0.0)
    judge = open_embedder("starter:judge", torch.device("cpu"), "judge.checkpoint")
    return JudgedFaces(faces, judge.embed(faces.images_NHWC))


@dataclass(frozen=True)
class Planted:
    """A folder of people in which some things are wrong, and what an inspection wrote of it."""

    root: Path
    out: Path
    found: Inspection


def write_faces(root: Path, faces: FaceSet, people: Iterable[int], images: int = 5) -> None:
    """A folder a person, `pNN/J.png`, of the first images of each."""
    for person in people:
        folder = root / f"p{person:02d}"
        folder.mkdir(parents=True)
        for image, row in enumerate(np.flatnonzero(faces.labels == person)[:images]):
            Image.fromarray(faces.images_NHWC[row]).save(folder / f"{image}.png")


@pytest.fixture(scope="session")
def planted(starter, tmp_path_factory) -> Planted:
    """20 people x 5 images; a second name (3 images), a wrong name, copies, a damaged file."""
    root = tmp_path_factory.mktemp("planted")
    source = root / "set"
    write_faces(source, starter.faces, range(20))
    rows = np.flatnonzero(starter.faces.labels == 3)[5:]
    (source / "second name").mkdir()
    for image, row in enumerate(rows):
        Image.fromarray(starter.faces.images_NHWC[row]).save(source / f"second name/{image}.png")
    mislabeled = starter.faces.images_NHWC[starter.faces.labels == 50][0]
    Image.fromarray(mislabeled).save(source / "p05/mislabeled.png")
    (source / "p07/same.png").write_bytes((source / "p06/0.png").read_bytes())
    Image.open(source / "p08/1.png").convert("RGB").save(source / "p08/again.jpg", quality=60)
    (source / "p09/broken.png").write_bytes(b"no image")
    request = request_of([str(source), "source.real_people=false"])
    out = root / "inspect"
    return Planted(source, out, looked_and_written(request, out, silent, lambda line: None))


def silent(name: str) -> Callable[[int, int], None]:
    """Hears of images and says nothing."""
    return lambda done, total: None
