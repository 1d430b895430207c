"""The prototype stage: where rows begin, what moves, and that ranks and the parent stay alike."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from factory import checkpoint
from factory.config import PrototypeStageConfig, RecognizerConfig, load
from factory.errors import CheckpointError, ConfigError
from factory.provenance.networks import records_of
from factory.recognition.covariance import covariance_distance, moments
from factory.recognition.prototype_stage import KeptFeatures, shape_prototypes
from factory.recognition.prototypes import Prototypes, energy_in_span, geometry
from factory.recognition.train import train
from factory.recognition.train_prototypes import train_prototypes
from factory.training import distributed
from tests.factory.recognition.test_train import RECIPE
from tests.ranks import run_ranks

DIM, REAL, VIRTUAL = 12, 30, 50


def recipe(**changes) -> RecognizerConfig:
    stage = PrototypeStageConfig(steps=changes.pop("steps", 30), batch_size=16, lr=0.01)
    settings = {"embedding_dim": DIM, "num_virtual": VIRTUAL, "scale": 16.0, "margin_m": 0.3}
    return RecognizerConfig(prototypes=stage, **(settings | changes))


def faces() -> tuple[torch.Tensor, KeptFeatures]:
    """Real prototypes in 4 of 12 dimensions, and two features near each."""
    draw = torch.Generator().manual_seed(0)
    real_ND = torch.randn(REAL, DIM, generator=draw) * (torch.arange(DIM) < 4)
    label_M = torch.arange(REAL).repeat(2)
    noise = 0.05 * torch.randn(2 * REAL, DIM, generator=draw) * (torch.arange(DIM) < 4)
    return real_ND, KeptFeatures(F.normalize(real_ND)[label_M] + noise, label_M)


def stage(**changes):
    real_ND, kept = faces()
    return shape_prototypes(recipe(**changes), real_ND, REAL, kept, 0)


def test_rows_begin_among_faces_move_and_stay_there():
    """4 of 12 axes hold all energy of real ones: the preconditioned gradient has none elsewhere."""
    real_ND, _ = faces()
    shaped = stage()
    for unit_KD in (shaped.start_KD, F.normalize(shaped.virtual_KD)):
        assert float(unit_KD[:, 4:].abs().max()) < 1e-5
    moved = (shaped.start_KD * F.normalize(shaped.virtual_KD)).sum(1)
    assert 0.3 < float(moved.mean()) < 0.999
    assert shaped.figures["final_loss"] < shaped.figures["first_loss"]
    start = geometry(real_ND, shaped.virtual_KD, shaped.start_KD)["to_start"]
    assert start["mean"] == pytest.approx(float(moved.mean()), abs=1e-5)


def test_a_start_has_the_covariance_of_the_centers():
    _, kept = faces()
    shaped = stage(num_virtual=4000, steps=1)
    wanted = moments(kept.centers())[1]
    assert float(covariance_distance(moments(shaped.start_KD)[1], wanted)) < 0.05


def test_centers_are_unit_means_of_those_who_are_there():
    kept = KeptFeatures(torch.tensor([[2.0, 0], [0, 5.0], [-3.0, 0]]), torch.tensor([1, 1, 4]))
    half = 0.5**0.5
    torch.testing.assert_close(kept.centers(), torch.tensor([[half, half], [-1.0, 0.0]]))


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_a_step_multiplies_the_gradient_then_decays_and_leaves_real_rows(rate):
    settings = {"sample_rate": rate, "weight_decay": 0.01}
    one, other = (Prototypes(recipe(**settings), REAL, seed=1) for _ in range(2))
    by_DD = torch.diag(torch.arange(DIM) / DIM)
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(4, DIM, generator=draw)
    drawn = (torch.arange(6), torch.randn(6, DIM, generator=draw))
    before = one.weight_RD.detach().clone()
    for prototypes in (one, other):
        prototypes.loss(features, torch.arange(4), *drawn, margin=0.2).backward()
    sampled = other._sampled[0]
    rows = torch.arange(len(before)) if sampled.chosen_S is None else sampled.chosen_S
    gradient = torch.zeros_like(before)
    gradient[rows] = sampled.gradient() @ by_DD + 0.01 * before[rows]
    gradient[:REAL] = 0
    one.step(0.1, virtual_by_DD=by_DD)
    torch.testing.assert_close(one.weight_RD.data, before - 0.1 * 1.9 * gradient)
    assert torch.equal(one.weight_RD[:REAL], before[:REAL])


def test_virtual_features_have_a_margin_of_their_own():
    def loss(**margins):
        prototypes = Prototypes(recipe(), REAL, seed=1)
        draw = torch.Generator().manual_seed(3)
        features = torch.randn(4, DIM, generator=draw)
        drawn = (torch.arange(6), torch.randn(6, DIM, generator=draw))
        return prototypes.loss(features, torch.arange(4), *drawn, **margins).item()

    both, none = loss(margin=0.3), loss(margin=0.0)
    mixed = loss(margin=0.3, virtual_margin=0.0) + loss(margin=0.0, virtual_margin=0.3)
    assert mixed == pytest.approx(both + none, rel=1e-5)
    assert loss(margin=0.3, virtual_margin=0.3) == both


def penalty() -> list[float]:
    """The penalty and the row gradients of a rank, of rows of all ranks."""
    settings = recipe(covariance_weight=10.0, num_virtual=7)
    prototypes = Prototypes(settings, 5, seed=3)
    num_real = len(prototypes.rows.real)
    leaf = prototypes._sample(torch.zeros(0, dtype=torch.long), 0)
    value = prototypes._covariance_penalty(leaf)
    value.backward()
    gradient = leaf.weight_SD.grad
    assert not gradient[:num_real].any()
    return [value.item(), *gradient[num_real:].flatten().tolist()]


def test_the_penalty_of_two_ranks_is_that_of_autograd_on_all_rows():
    whole = Prototypes(recipe(num_virtual=7), 5, seed=3).weight_RD.detach().double()
    virtual = whole[5:].clone().requires_grad_()

    def covariance(unit):
        centered = unit - unit.mean(0)
        return centered.T @ centered / len(unit)

    real_DD, virtual_DD = covariance(F.normalize(whole[:5])), covariance(F.normalize(virtual))
    value = (virtual_DD - real_DD).square().sum() / real_DD.square().sum()
    value.backward()
    ranks = run_ranks(f"{__name__}:penalty", 2)
    assert [rank[0] for rank in ranks] == pytest.approx([value.item()] * 2, rel=1e-5)
    gradient = torch.tensor(ranks[0][1:] + ranks[1][1:]).view(7, DIM).double()
    torch.testing.assert_close(gradient, virtual.grad, rtol=1e-4, atol=1e-4)


def test_the_penalty_is_added_with_its_weight_and_draws_rows_to_the_faces():
    features, labels = torch.eye(DIM)[:3], torch.arange(3)
    nobody = (torch.zeros(0, dtype=torch.long), torch.zeros(0, DIM))
    values = []
    for weight in (0.0, 2.0, 4.0):
        prototypes = Prototypes(recipe(covariance_weight=weight), REAL, seed=1)
        values.append(prototypes.loss(features, labels, *nobody, margin=0.0).item())
    assert values[2] - values[0] == pytest.approx(2 * (values[1] - values[0]), rel=1e-3)
    assert values[1] > values[0]


def test_energy_in_the_span_is_1_inside_0_outside_and_axes_by_dimension_for_random():
    axes = torch.eye(8)
    inside = energy_in_span(torch.cat([axes[:3], -axes[:3]]), axes[:3])
    assert inside == {"energy": pytest.approx(1.0), "random": 5 / 8, "axes": 5}
    flat = torch.cat([axes[:3], -axes[:3], axes[:3], -axes[:3]])
    assert energy_in_span(flat[:4], axes[5:])["energy"] == pytest.approx(0.0, abs=1e-9)


def two_ranks() -> list[float]:
    real_ND, kept = faces()
    own = distributed.rank() * REAL // 2
    shaped = shape_prototypes(recipe(steps=5), real_ND[own : own + REAL // 2], REAL, kept, 0)
    return shaped.virtual_KD.flatten().tolist()


def test_two_ranks_make_the_prototypes_of_one():
    alone = stage(steps=5).virtual_KD.flatten()
    for answer in run_ranks(f"{__name__}:two_ranks", 2):
        torch.testing.assert_close(torch.tensor(answer), alone, rtol=1e-3, atol=1e-5)


class TestCheckpoints:
    @pytest.fixture
    def learned(self, people, tmp_path):
        """Function of a folder and more items -> the config of a tiny recognizer."""

        def make(out, *dotlist):
            (tmp_path / "c.yaml").write_text("{}\n")
            words = [*RECIPE, f"source.path={people}", f"training.out={tmp_path / out}"]
            few = ["training.max_steps=3", "recognizer.prototypes.batch_size=6"]
            return load(tmp_path / "c.yaml", [*words, *few, *dotlist])

        return make

    def test_job_and_end_of_training_are_one_path_and_the_lineage_names_the_parent(
        self, learned, tmp_path
    ):
        steps = "recognizer.prototypes.steps=4"
        train(learned("plain"), lambda line: None)
        train(learned("joined", steps), lambda line: None)
        named = f"recognizer.checkpoint={tmp_path / 'plain'}"
        metrics = train_prototypes(learned("child", steps, named), lambda line: None)
        plain, joined, child = (
            checkpoint.load(str(tmp_path / name), "recognizer", "k")
            for name in ("plain", "joined", "child")
        )
        assert torch.equal(
            joined.tensors["prototypes.virtual"], child.tensors["prototypes.virtual"]
        )
        for name, tensor in plain.tensors.items():
            same = torch.equal(tensor, child.tensors[name])
            assert same == (name != "prototypes.virtual"), name
        assert child.lineage == {"backbone": plain.sha256}
        assert [record.sha256 for record in records_of(vars(child))] == [child.sha256, plain.sha256]
        assert {"to_start", "real_span"} <= set(metrics["geometry"])
        assert metrics["prototype_stage"]["steps"] == 4
        assert (
            json.loads((tmp_path / "child" / "checkpoint.json").read_text())["metrics"] == metrics
        )
        named = f"recognizer.checkpoint={tmp_path / 'child'}"
        train_prototypes(learned("grandchild", steps, named), lambda line: None)
        again = checkpoint.load(str(tmp_path / "grandchild"), "recognizer", "k")
        assert again.lineage == child.lineage  # nothing of the child is left

    def test_what_cannot_begin_is_one_line(self, learned, tmp_path):
        train(learned("plain"), lambda line: None)
        named = f"recognizer.checkpoint={tmp_path / 'plain'}"
        steps = "recognizer.prototypes.steps=4"
        wrong = {
            r"recognizer\.prototypes\.steps: got 0": ("other", named),
            r"training\.out: got .*plain, the folder of": ("plain", named, steps),
            r"recognizer\.embedding_dim: got 8": (
                "other",
                named,
                steps,
                "recognizer.embedding_dim=8",
            ),
        }
        for told, words in wrong.items():
            with pytest.raises(ConfigError, match=told):
                train_prototypes(learned(*words))
        with pytest.raises(ConfigError, match=r"recognizer\.prototypes\.steps: got 4 with"):
            learned("other", steps, "recognizer.num_virtual=0")


def test_a_generator_of_the_parent_is_one_of_the_child():
    child = {"sha256": "b", "lineage": {"backbone": "a"}, "config": {}}
    alike = {"recognizer": checkpoint.stands_for(child)}
    assert alike == {"recognizer": ["a"]}
    for parent in ("a", "b"):
        checkpoint.refuse_other("generator", {"recognizer": parent}, {"recognizer": "b"}, alike)
    with pytest.raises(CheckpointError, match=r"recognizer.checkpoint: has sha256 b"):
        checkpoint.refuse_other("generator", {"recognizer": "c"}, {"recognizer": "b"}, alike)
    assert checkpoint.stands_for({"sha256": "a", "lineage": {}, "config": {}}) == []
