"""Sheets of faces: who is on them, and where."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from factory.evaluation.edit_metrics import EditPictures
from factory.evaluation.similarity import SampledFaces
from factory.report import sheets
from tests.measured import face


def test_sheets_show_the_best_the_middle_and_the_worst():
    ranking = np.array([8, 5, 7, 6, 9])
    shown = sheets.chosen(ranking, np.array([5, 6, 7, 8, 9]), 4)
    assert shown == {"best": [8], "median": [7], "worst": [9]}
    assert sheets.chosen(ranking, np.array([5, 6]), 4) == {
        "best": [],
        "median": [],
        "worst": [],
    }


def test_a_sheet_is_white_where_a_row_is_short():
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    sheet = sheets.tiled([[red, red], [red]], 2)
    assert sheet.shape == (10, 10, 3)
    assert (sheet[:4, :4] == red).all()
    assert (sheet[6:, 6:] == 255).all()
    faces = SampledFaces(np.stack([red, red]), np.array([3, 1]))
    assert sheets.first_identities(faces, 1) == [3]


def test_edits_stand_below_their_originals_where_these_may_be_shown():
    pairs = {"mask": [(face(0), face(250))], "hat": [(None, face(250))]}
    (mask, below), (hat, alone) = sheets.edits(EditPictures(pairs))
    assert (mask, hat) == ("mask", "hat")

    def opened(uri: str) -> np.ndarray:
        content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        return np.asarray(Image.open(io.BytesIO(content)).convert("L"))

    assert opened(below).shape == (8 + sheets.GAP_PX + 8, 8)
    assert opened(below)[0, 0] < 30
    assert opened(below)[-1, 0] > 220
    assert opened(alone).shape == (8, 8)
