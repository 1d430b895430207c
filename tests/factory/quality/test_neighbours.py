"""A score depends on its slot's image and on the shape of the planned batch, on no other slot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import QualityConfig
from factory.quality.scores import Scorer
from factory.recognition.embed import Recognizer
from factory.recognition.fiqa import OnnxQuality
from factory.records import DrawnBatch
from factory.synthesis.editors import edit_measures
from factory.synthesis.maker import quality_measures
from tests.conftest import DIM, PX, draw_face, save_recognizer
from tests.networks_of_quality import write_quality
from tests.planned import REQUEST, shots_of

SIZE, NUM_BATCHES = 24, 20
"""480 rows: products of matrices with 1, 5 or 24 rows round otherwise in a few of them."""


def unit_rows(count: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_cosines_of_whole_halved_and_single_batches_do_not_depend_on_neighbours():
    roster, real = unit_rows(300, 128, 1), unit_rows(200, 128, 2)
    scorer = Scorer(roster, real, {7: 3, 12: 190})
    shots = shots_of(REQUEST, [(i, 0) for i in range(SIZE)])
    shots = [dataclasses.replace(shot, slot=slot) for slot, shot in enumerate(shots)]
    batch = DrawnBatch(np.zeros((SIZE, 4, 4, 3), np.uint8))
    for number in range(NUM_BATCHES):
        unit_BD = unit_rows(SIZE, 128, 100 + number)
        whole = scorer.score(shots, batch, unit_BD)
        for size in (1, 5, SIZE // 2):
            groups = [shots[first : first + size] for first in range(0, SIZE, size)]
            apart = [one for group in groups for one in scorer.score(group, batch, unit_BD)]
            assert apart == whole


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory) -> Recognizer:
    """An untrained one with dropout and a quality head."""
    folder = tmp_path_factory.mktemp("weights") / "recognizer"
    save_recognizer(folder, seed=1, quality_head=True)
    loaded = checkpoint.load(str(folder), "recognizer", "recognizer.checkpoint")
    loaded.config["dropout"] = 0.4
    return Recognizer(loaded, torch.device("cpu"))


@pytest.mark.parametrize(
    "name", ["cr_fiqa", "ser_fiq", "fiqa", "original_cosine", "visible_cosine"]
)
def test_a_quality_does_not_depend_on_neighbours(recognizer, name, tmp_path):
    config = QualityConfig(model=write_quality(tmp_path / "q.onnx", px=PX))
    network = OnnxQuality(config, torch.device("cpu"))
    measures = quality_measures(recognizer, network) | edit_measures(recognizer)
    scorer = Scorer(unit_rows(300, DIM, 3), unit_rows(4, DIM, 4), {}, {name: measures[name]})
    shots = shots_of(REQUEST, [(i, 0) for i in range(SIZE)])
    shots = [dataclasses.replace(shot, slot=slot) for slot, shot in enumerate(shots)]
    images = np.stack([draw_face(i, 0, PX) for i in range(SIZE)])
    batch = DrawnBatch(images, images[::-1].copy(), images[:, ::-1].copy())
    unit_BD = recognizer.embed(images)
    whole = [getattr(one, name) for one in scorer.score(shots, batch, unit_BD)]
    assert None not in whole
    for size in (1, 5, SIZE // 2):
        groups = [shots[first : first + size] for first in range(0, SIZE, size)]
        apart = [one for group in groups for one in scorer.score(group, batch, unit_BD)]
        assert [getattr(one, name) for one in apart] == whole
