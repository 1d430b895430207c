"""A release compared with further sets of real faces, and CR-FIQA's scores of them all."""

from __future__ import annotations

import pytest
import torch

from factory.errors import ConfigError
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.similarity import Properties
from factory.execution.inline import run_units
from factory.recognition.embed import Recognizer
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import read_metrics
from factory.sources import open_source, read_faces
from tests.conftest import IMAGES, PX, save_recognizer

CPU = torch.device("cpu")


def test_a_reference_set_is_measured_like_the_source(release_config, people, tmp_path):
    head = save_recognizer(tmp_path / "head", seed=3, quality_head=True)
    few = f"kind: folder, path: {people}, image_px: {PX}, num_identities: 2"
    config = release_config(
        f"features.quality={tmp_path / 'head'}", f"features.reference_sets=[{{{few}}}]"
    )
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    properties = from_json(Properties, read_metrics(store, "properties"))
    recognizer = Recognizer.load(str(tmp_path / "head"), CPU)
    assert recognizer.sha256 == head
    source = read_faces(open_source(config.source), 0).images_NHWC
    scores = recognizer.cr_fiqa(source)
    assert properties.quality.source.mean == pytest.approx(scores.mean(), abs=1e-5)
    assert properties.quality.source.std == pytest.approx(scores.std(), abs=1e-5)
    reference = properties.reference_sets[people.name]
    assert reference.num_images == 2 * IMAGES
    assert reference.quality.mean == pytest.approx(scores[: 2 * IMAGES].mean(), abs=1e-5)
    assert set(reference.fidelity) == {"recognizer", "judge"}
    assert reference.fidelity["judge"].num_real == 2 * IMAGES
    page = store.get(layout.REPORT).decode()
    assert f"judge, against {people.name}" in page
    assert ">CR-FIQA</abbr>" in page


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "kind: folder, path: x/source.tar, image_px: 32",
            r"\[0\]\.path: another set is called 's",
        ),
        ("kind: starter, image_px: 64", r"\[0\]\.image_px: got 64; want source\.image_px"),
    ],
)
def test_reference_sets_are_checked_with_the_config(release_config, reference, message):
    reference = reference.replace("32", str(PX))
    with pytest.raises(ConfigError, match=r"features\.reference_sets" + message):
        release_config(f"features.reference_sets=[{{{reference}}}]")
