"""Figures of a checkpoint: only those there are data for, and one line of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.recognition.pairs import Pairs
from factory.recognition.validation import KEPT, brief, figures, measure
from factory.sources import FaceSet
from tests.conftest import IMAGES, PEOPLE, draw_face

CPU = torch.device("cpu")


@pytest.fixture
def loaded(weights):
    return checkpoint.load(str(weights / "recognizer"), "recognizer", "k")


@pytest.fixture
def heldout():
    images = np.stack([draw_face(person, i) for person in range(PEOPLE) for i in range(IMAGES)])
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    keys = [f"{label}/{i}" for i, label in enumerate(labels)]
    return FaceSet(images, labels, keys, [str(n) for n in range(PEOPLE)], [])


def test_figures_are_of_what_there_is(loaded, heldout):
    pairs = Pairs(heldout.images_NHWC[:4], np.array([True, False]), num_folds=2)
    both = figures(loaded, heldout, pairs, CPU)
    assert set(both) == {"heldout", "pairs"}
    assert both["heldout"]["num_genuine"] == PEOPLE * IMAGES * (IMAGES - 1) // 2
    assert both["pairs"]["num_pairs"] == 2
    assert set(figures(loaded, FaceSet.nobody(), pairs, CPU)) == {"pairs"}
    assert figures(loaded, FaceSet.nobody(), None, CPU) == {}
    measured = measure(loaded, heldout, None, CPU)
    assert set(measured) == {"geometry", "heldout", "resampled"}
    assert len(measured["resampled"]["heldout"]["auc"]) == KEPT
    assert (measured["heldout"]["resampled"], measured["heldout"]["num_people"]) == (
        "people",
        PEOPLE,
    )
    assert "resampled" not in both["heldout"]  # while a training runs


def test_the_line_has_the_metrics_that_are_there():
    heldout = {"auc": 0.98765, "tar_at_far_1e-3": 0.5}
    assert brief({"heldout": heldout}) == "held out: AUC 0.9877, TAR@.001 0.500"
    pairs = {"accuracy": 0.75, "auc": 0.8}
    assert brief({"heldout": heldout, "pairs": pairs}).endswith(
        "; pairs: accuracy 0.7500, AUC 0.8000"
    )
    assert brief({}) == ""
    nothing = {"auc": None, "tar_at_far_1e-3": None}
    assert brief({"heldout": nothing}) == "held out: AUC n/a, TAR@.001 n/a"
