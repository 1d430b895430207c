"""Learned turns from a config to a checkpoint, and to the shots of a release."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.train_turns import train
from factory.errors import CheckpointError, ConfigError
from factory.execution.inline import run_units
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards.reader import metadata_rows
from factory.store import open_store
from factory.synthesis import diffusion_loading
from factory.synthesis.reproduce import reproduce
from tests.conftest import tiny_dotlist


@pytest.fixture
def config_of(people, weights, tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    settings = [
        *tiny_dotlist(people, weights, tmp_path / "store"),
        f"training.out={tmp_path / 't'}",
    ]
    return lambda *more: load(tmp_path / "c.yaml", [*settings, *more])


LEARNED = "sampler.perturb_identity=learned"


def test_a_trained_flow_is_a_checkpoint_that_a_release_plans_with(config_of, tmp_path):
    metrics = train(config_of(), print)
    assert metrics["num_people"] > 1
    assert metrics["num_images"] >= 2 * metrics["num_people"]
    written = json.loads((tmp_path / "t" / "checkpoint.json").read_text())
    config = config_of(LEARNED, f"turns.checkpoint={tmp_path / 't'}")
    recognizer = checkpoint.read_metadata(config.recognizer.checkpoint, "recognizer", "k")
    assert written["kind"] == "turns"
    assert written["metrics"] == metrics
    assert written["lineage"] == {"recognizer": recognizer["sha256"]}
    assert written["provenance"][0]["role"] == "turns"
    assert written["provenance"][0]["learned_from"][0]["num_images"] == metrics["num_images"]

    inputs = preflight(config)
    assert inputs.request.weights["turns"] == written["sha256"]
    assert inputs.request.to_dict()["sampler"]["perturb_identity"] == "learned"
    told = {one.role: one for one in inputs.lineage.networks}
    assert told["turns"].is_told
    assert told["turns"].sha256 == written["sha256"]

    weights: dict[str, str] = {}
    flow = diffusion_loading._learned_turns(config, weights)
    assert weights == {"turns": written["sha256"]}
    loaded = checkpoint.load(str(tmp_path / "t"), "turns", "turns.checkpoint")
    assert torch.equal(flow.scale_DD, loaded.tensors["scale"])
    assert torch.equal(flow.shift_DD, loaded.tensors["shift"])
    assert flow.shift_DD.any()
    assert diffusion_loading._learned_turns(config_of(), weights) is None


def test_random_is_true_and_learned_is_not(config_of):
    true, random = (
        config_of(f"sampler.perturb_identity={value}").sampler for value in ("true", "random")
    )
    assert true == random
    assert true.perturb_identity is True
    assert config_of().sampler.perturb_identity is False


def test_what_is_missing_or_of_another_recognizer_is_named(config_of, tmp_path):
    with pytest.raises(ConfigError, match=r"turns\.checkpoint: nothing given with sampler"):
        config_of(LEARNED)
    named = config_of(LEARNED, f"turns.checkpoint={tmp_path / 'none'}")
    with pytest.raises(CheckpointError, match=r"turns\.checkpoint: no checkpoint .*train_turns"):
        preflight(named)
    made = checkpoint.Checkpoint(
        "turns", {"scale": torch.zeros(2, 2)}, {}, 0, {}, {"recognizer": "f" * 64}, ""
    )
    checkpoint.save(tmp_path / "other", made)
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: .* the turns was trained"):
        preflight(config_of(LEARNED, f"turns.checkpoint={tmp_path / 'other'}"))
    with pytest.raises(ConfigError, match=r"compute\.num_ranks: got 2 for turns"):
        train(config_of("compute.num_ranks=2"), print)


def test_a_release_turns_by_the_flow(config_of, tmp_path):
    """Its conditions are those of `turned` with the flow, not the random ones."""
    from factory.diffusion.turns import TangentFlow, turned
    from factory.synthesis.generators import DiffusionGenerator
    from tests.factory.synthesis.test_generators import SHAPE, UNIT_ND, checkpoint_of, shot

    flow = TangentFlow(torch.ones(6, 6), torch.ones(6, 6))
    made = DiffusionGenerator(
        checkpoint_of(SHAPE), None, UNIT_ND, torch.device("cpu"), "fp32", flow=flow
    )
    got = made.inputs([shot(0, perturbation_cos=0.8)], 1)[1].identity_BD[0].numpy()
    draws = np.random.Generator(np.random.Philox(0))
    draws.standard_normal((2, 8, 8), np.float32)  # the noise comes first
    assert np.array_equal(got, turned(UNIT_ND[0], 0.8, draws, flow))


def test_a_release_with_learned_turns_is_made_and_its_faces_come_again(config_of, tmp_path):
    train(config_of(), print)
    config = config_of(LEARNED, f"turns.checkpoint={tmp_path / 't'}", "sampler.num_steps=2")
    build(config, run_units, log=lambda line: None)
    store = open_store(config.store).below("tiny/releases/0.1.0")
    rows = metadata_rows(store, 0)
    assert all(row["perturbation_cos"] < 1 for row in rows)
    again = reproduce(config, store, rows[0]["key"])
    assert again.encoded == again.published
    assert b"turns" in store.get("lineage.json")
