"""Portraits of any size, with bystanders in them: the subject's face is found and cut out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.config import SourceConfig
from factory.recognition.embed import Recognizer
from factory.sources import open_source, read_faces
from tests.cases.photographs import cosine, paste, starter_face

PHOTOGRAPHS = {
    "1_small": ((605, 806), (0, 360, (120, 180))),
    "2_portrait_of_12_megapixels": ((3024, 4032), (0, 1800, (600, 900))),
    "3_subject_and_bystander": ((1200, 1000), (0, 600, (20, 60)), (2, 160, (1000, 700))),
    "4_group_photo": (
        (1200, 500),
        *((person, 200, (100 + 400 * place, 150)) for place, person in enumerate((1, 0, 3))),
    ),
}
"""Each in a folder of its own: size, and who is where (person, side, corner). Person 0 is meant."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for name, (size, *people) in PHOTOGRAPHS.items():
        (root / name).mkdir()
        placed = [(starter_face(person), px, corner) for person, px, corner in people]
        paste(size, *placed).save(root / name / "a.jpg", quality=95)
    return read_faces(open_source(SourceConfig(kind="folder", path=str(root))), 0.0)


@pytest.fixture(scope="module")
def known():
    """Function: images uint8 [N, 112, 112, 3] -> unit vectors by the recognizer in the package."""
    return Recognizer.load("starter:recognizer", torch.device("cpu")).embed


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_face_of_the_subject_is_cut_out(faces, known, name):
    image = faces.images_NHWC[faces.keys.index(f"{name}/a")]
    subject, bystander, found = known(
        np.stack([np.asarray(starter_face(0)), np.asarray(starter_face(2)), image])
    )
    assert cosine(found, subject) > 0.8
    assert cosine(found, bystander) < cosine(found, subject) - 0.3


def test_photographs_with_several_faces_are_counted_and_said(faces):
    (remark,) = faces.remarks
    assert remark.startswith("source.detector: 2 images hold several faces; the largest central")
