"""What is measured of a whole release, and read back from what was measured before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from factory.errors import IntegrityError
from factory.evaluation.evaluate import evaluate
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.metrics.release import Metrics
from factory.evaluation.metrics.similarity import PairMetrics
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.verdict import NO_JUDGE
from factory.execution.inline import run_units
from factory.recognition.external import open_embedder
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import collect, put_metrics, read_metrics, sealed_plan
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.sources import open_source
from factory.sources.decoding import decode_image
from tests.conftest import IMAGES, PEOPLE
from tests.measured import attack, utility


def measured(config) -> tuple[Metrics, object]:
    """Build the release of a config and measure it again."""
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    plan = sealed_plan(store)
    return evaluate(
        config, open_source(config.source), store, plan, collect(store, plan), run_units
    )


@pytest.mark.parametrize("change", ["release.keep_vectors=true", "audit.from_images=true"])
def test_the_files_of_a_release_hold_what_is_measured(release_config, change):
    config = release_config(change)
    metrics, pictures = measured(config)
    store = layout.release_store(config)
    for stem, content in metrics.files().items():
        assert read_metrics(store, stem) == content, stem
    assert (metrics.counts.planned, metrics.counts.source_people) == (12, 0)
    assert set(metrics.similarity) == set(metrics.properties.recognizers)
    assert metrics.similarity["judge"].made_vs_photographs is None  # nobody in it is real
    assert metrics.recognizer_training == NotMeasured(
        "n/a: the recognizer's checkpoint does not say"
    )
    assert metrics.leakage.source.num_images == PEOPLE * IMAGES
    assert metrics.separability.num_virtual == 6
    assert (metrics.edits, metrics.utility, metrics.attack) == (None, None, None)
    assert sorted(pictures.ranking.tolist()) == sorted(np.unique(pictures.faces.labels).tolist())
    assert pictures.nearest == []  # audit.show_real is off


def test_real_people_are_compared_with_their_photographs(release_config):
    config = release_config(
        "identities.num_virtual=2", f"plan.fill_to={IMAGES + 1}", "release.allow_real=true"
    )
    metrics, _ = measured(config)
    store, source = layout.release_store(config), open_source(config.source)
    plan, roster = open_plan(store)
    judge = open_embedder(config.judge.checkpoint, torch.device("cpu"), "judge.checkpoint")
    photographs = [source[index] for index in range(len(source))]
    real_ND = judge.embed(np.stack([face.image_HWC for face in photographs]))
    genuine = []
    for row, jpeg in iterate_kept(store, plan):
        (unit_D,) = judge.embed(np.stack([decode_image(jpeg, row["key"], 1 << 24)]))
        name = roster.identities[row["identity"]].name
        own = [source.names[face.label] == name for face in photographs]
        genuine += (real_ND[own] @ unit_D).tolist()
    assert metrics.counts.source_people == PEOPLE
    against = metrics.similarity["judge"].made_vs_photographs
    assert isinstance(against, PairMetrics)
    assert against.genuine.count == len(genuine) == PEOPLE * IMAGES
    assert against.genuine.mean == pytest.approx(np.mean(genuine), abs=1e-5)


def test_without_a_judge_nobody_looks_for_leaks(release_config):
    metrics, _ = measured(release_config("judge.checkpoint=null"))
    assert metrics.leakage == NotMeasured(NO_JUDGE)
    assert list(metrics.similarity) == ["recognizer"]


def test_what_a_release_teaches_is_read_and_not_written_again(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    added = {layout.UTILITY: to_json(utility()), layout.ATTACK: to_json(attack())}
    put_metrics(layout.release_store(config), added)
    metrics, _ = measured(config)
    assert metrics.utility == utility()
    assert metrics.attack == attack()
    assert layout.UTILITY not in metrics.files()


def test_a_release_is_measured_only_beside_its_own_source(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    plan = sealed_plan(store)
    other = replace(config, source=replace(config.source, kind="starter", path=None))
    source = open_source(other.source)
    with pytest.raises(IntegrityError, match=r"source\.path: holds other faces"):
        evaluate(other, source, store, plan, collect(store, plan), run_units)
