"""Learned turns: a Gaussian of tangents, given the identity, whose zero is a random turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from factory.diffusion.train_turns import compare
from factory.diffusion.turns import (
    MAX_MATES,
    TangentFlow,
    fit,
    mates_of,
    negative_log_likelihood,
    tangents,
    turned,
)

DIM = 12


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def some_flow(dim: int = DIM) -> TangentFlow:
    rng = stream(3)
    half = rng.standard_normal((dim, dim)) / 4
    return TangentFlow(
        torch.from_numpy((half @ half.T).astype(np.float32)),
        torch.from_numpy(rng.standard_normal((dim, dim)).astype(np.float32)),
    )


def people(num: int, each: int, spread_D: np.ndarray, seed: int = 0, dim: int = DIM):
    """Embeddings of people about random centers, with this standard deviation in each dimension."""
    rng = stream(seed)
    centers = unit_rows(rng.standard_normal((num, 1, dim)))
    images = unit_rows(centers + spread_D * rng.standard_normal((num, each, dim)))
    return images.reshape(-1, dim).astype(np.float32), np.repeat(np.arange(num), each)


@pytest.mark.parametrize("cos", [0.95, 0.6])
def test_a_turn_keeps_length_and_angle_and_goes_anywhere_across(cos):
    """v~ = cos v + sin u: u has length 1, is orthogonal to v, and on average nowhere."""
    unit_D = np.linspace(-1, 2, 6)
    unit_D = (unit_D / np.linalg.norm(unit_D)).astype(np.float32)
    streams = [np.random.Generator(np.random.Philox(seed)) for seed in range(400)]
    made_ND = np.stack([turned(unit_D, cos, stream) for stream in streams]).astype(np.float64)
    across_ND = (made_ND - cos * unit_D) / np.sqrt(1 - cos**2)
    np.testing.assert_allclose(np.linalg.norm(made_ND, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(across_ND @ unit_D, 0, atol=1e-5)
    np.testing.assert_allclose(across_ND.mean(0), 0, atol=0.1)
    plane = np.eye(6) - np.outer(unit_D, unit_D)
    np.testing.assert_allclose(across_ND.T @ across_ND / 400, plane / 5, atol=0.04)
    assert np.array_equal(turned(unit_D, 1.0, streams[0]), unit_D)


def test_a_still_flow_is_the_random_turn_bit_for_bit():
    """IDperturb as it was before there were flows, written out."""
    for seed in range(20):
        unit_D = unit_rows(stream(seed).standard_normal(DIM)).astype(np.float32)
        still = turned(unit_D, 0.7, stream(seed), TangentFlow.still(DIM))
        unit = torch.from_numpy(unit_D)
        across = torch.from_numpy(stream(seed).standard_normal(DIM, dtype=np.float32))
        across = across - (across @ unit) * unit
        wanted = 0.7 * unit + math.sqrt(1 - 0.7**2) * across / across.norm()
        assert still.tobytes() == wanted.numpy().tobytes()
        assert still.tobytes() == turned(unit_D, 0.7, stream(seed)).tobytes()


@pytest.mark.parametrize("dim", [8, 512])
def test_a_learned_turn_keeps_the_angle_and_its_direction_is_orthogonal(dim):
    flow = some_flow(dim)
    for seed in range(20):
        unit_D = unit_rows(stream(seed).standard_normal(dim)).astype(np.float32)
        got = turned(unit_D, 0.75, stream(seed), flow).astype(np.float64)
        unit = unit_D.astype(np.float64)
        assert abs(got @ unit / np.linalg.norm(unit) - 0.75) < 1e-6
        assert abs(np.linalg.norm(got) - 1) < 1e-6
        direction = (got - 0.75 * unit) / math.sqrt(1 - 0.75**2)
        assert abs(direction @ unit) < 1e-6
        moved = turned(unit_D, 1.0, stream(seed), flow)
        assert moved is unit_D  # no turn


def test_what_a_flow_adds_is_its_equation_on_the_tangent_space():
    """P*(M*z + B*v), in float64 with the projection as a matrix."""
    flow, rng = some_flow(), stream(1)
    unit, normal = unit_rows(rng.standard_normal(DIM)), rng.standard_normal(DIM)
    projection = np.eye(DIM) - np.outer(unit, unit)
    scale, shift = flow.scale_DD.double().numpy(), flow.shift_DD.double().numpy()
    wanted = projection @ (scale @ normal + shift @ unit)
    got = flow.move(*(torch.from_numpy(one.astype(np.float32)) for one in (unit, normal)))
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)


def test_tangents_are_orthogonal_and_as_long_as_a_draw():
    rng = stream(2)
    unit, mate = unit_rows(rng.standard_normal((2, 50, DIM)))
    tangent = tangents(unit, mate)
    np.testing.assert_allclose((tangent * unit).sum(1), 0, atol=1e-12)
    np.testing.assert_allclose((tangent**2).sum(1), DIM - 1)
    assert ((tangent * mate).sum(1) > 0).all()  # toward the mate


def test_fit_is_the_closed_form_over_pairs_written_as_loops():
    """Ridge regression and a shrunk second moment; a person with many images counts once."""
    unit, label = people(5, 3, np.linspace(0.1, 0.6, DIM))
    more, _ = people(1, 7, np.linspace(0.1, 0.6, DIM), seed=9)
    unit, label = np.concatenate([unit, more]), np.concatenate([label, np.full(7, 5)])
    ridge, shrinkage = 2.0, 0.3
    square, product = np.zeros((DIM, DIM)), np.zeros((DIM, DIM))
    pairs = []
    for person in range(6):
        own = unit[label == person].astype(np.float64)
        weight = 1 / (len(own) * (len(own) - 1) * 6)
        for i in range(len(own)):
            for j in range(len(own)):
                if i != j:
                    across = own[j] - own[i] * (own[i] @ own[j])
                    x = math.sqrt(DIM - 1) * across / np.linalg.norm(across)
                    pairs.append((own[i], x, weight))
                    square += weight * np.outer(own[i], own[i])
                    product += weight * np.outer(x, own[i])
    shift = product @ np.linalg.inv(square + ridge / DIM * np.eye(DIM))
    moment = np.zeros((DIM, DIM))
    for own, x, weight in pairs:
        mean = shift @ own
        rest = x - (mean - own * (own @ mean))
        moment += weight * np.outer(rest, rest) * DIM / (DIM - 1)
    flow = fit(unit, label, ridge, shrinkage)
    np.testing.assert_allclose(flow.shift_DD, shift, atol=1e-4)
    root = flow.scale_DD.double().numpy() + np.eye(DIM)
    wanted = (1 - shrinkage) * moment + shrinkage * np.eye(DIM)
    np.testing.assert_allclose(root @ root, wanted, atol=1e-4)
    np.testing.assert_allclose(root, root.T, atol=1e-6)
    assert np.linalg.eigvalsh(root).min() > 0.99 * math.sqrt(shrinkage)  # so it can be inverted


def test_full_shrinkage_and_infinite_ridge_learn_nothing():
    flow = fit(*people(5, 4, np.full(DIM, 0.3)), math.inf, 1.0)
    np.testing.assert_allclose(flow.scale_DD, 0, atol=1e-6)
    assert not flow.shift_DD.any()


def test_an_isotropic_spread_gives_a_nearly_still_flow():
    """So the correction by D/(D-1) is right: the mean of P over directions is 1 - 1/D."""
    flow = fit(*people(2000, 4, np.full(DIM, 0.2)), math.inf, 1e-3)
    assert np.trace(flow.scale_DD.numpy()) == pytest.approx(0, abs=0.03)
    assert np.abs(flow.scale_DD.numpy()).max() < 0.05


def test_turns_have_the_directions_of_an_anisotropic_truth():
    """People who vary in three dimensions alone are turned in these, most in the widest one.

    Lengths are lost twice, of tangents and of turns, which flattens the widest a little.
    """
    spread = np.zeros(DIM)
    spread[:3] = (0.4, 0.2, 0.2)
    flow = fit(*people(1500, 4, spread), math.inf, 1e-3)
    unit_D = np.eye(DIM, dtype=np.float32)[-1]
    draws = stream(5)
    turns = np.stack([turned(unit_D, 0.8, draws, flow) for _ in range(4000)])
    energy = (((turns - 0.8 * unit_D) / 0.6) ** 2).mean(0)
    draws, truth = stream(6), stream(6).standard_normal((4000, 3)) * spread[:3]
    wanted = (unit_rows(truth) ** 2).mean(0)
    np.testing.assert_allclose(energy[:3] / energy[:3].sum(), wanted, atol=0.12)
    assert energy[0] > 1.4 * energy[1:3].max()
    assert energy[:3].sum() > 0.75  # at random 3/11; at other identities P lets some out


def test_likelihood_is_that_of_a_normal_on_the_tangent_space():
    """By coordinates of the tangent space and a plain normal density there."""
    flow, rng = some_flow(), stream(4)
    unit = unit_rows(rng.standard_normal((6, DIM)))
    x = tangents(unit, unit_rows(rng.standard_normal((6, DIM))))
    got = negative_log_likelihood(flow, unit, x)
    root = np.eye(DIM) + flow.scale_DD.double().numpy()
    for row in range(6):
        axes = np.linalg.svd(unit[row][None])[2][1:]  # [D-1, D], orthogonal to v
        covariance = axes @ root @ root @ axes.T
        rest = axes @ (x[row] - flow.shift_DD.double().numpy() @ unit[row])
        wanted = rest @ np.linalg.solve(covariance, rest) / 2
        wanted += np.linalg.slogdet(covariance)[1] / 2
        assert got[row] == pytest.approx(wanted, rel=1e-6)


def test_the_fit_is_likelier_on_held_out_people_and_their_mates_are_nearer():
    spread = np.zeros(DIM)
    spread[:3] = 0.3
    flow = fit(*people(100, 6, spread), 1.0, 0.05)
    unit, label = people(30, 6, spread, seed=7)
    first, second = unit[0::6].astype(np.float64), unit[1::6].astype(np.float64)
    x = tangents(first, second)
    learned, random = (
        negative_log_likelihood(one, first, x).mean() for one in (flow, TangentFlow.still(DIM))
    )
    assert learned < random - 1
    figures = compare(flow, unit, label, 16)
    assert figures["num_people"] == 30
    for of in ("from_image", "from_center"):
        gain = figures[of]
        assert 0 < gain["low"] < gain["gain"] < gain["high"]
        assert gain["gain"] == pytest.approx(gain["learned"] - gain["random"])
    nothing = compare(TangentFlow.still(DIM), unit, label, 16)["from_image"]
    assert nothing["gain"] == nothing["low"] == nothing["high"] == 0


def test_the_interval_is_that_of_the_mean_over_people():
    unit, label = people(8, 4, np.full(DIM, 0.3))
    flow = some_flow()
    whole = compare(flow, unit, label, 4)["from_image"]
    gains = []
    for person in range(8):  # the draws depend on the number of a person, so all are asked at once
        own = unit[label == person]
        each = []
        for i in range(4):
            from factory.seeds import stream_seed

            near = []
            for one in (None, flow):
                draws = stream(stream_seed("turns", person, i))
                turns = np.stack([turned(own[i], 0.8, draws, one) for _ in range(4)])
                near.append((np.delete(own, i, 0) @ turns.T).max(1).mean())
            each.append(near[1] - near[0])
        gains.append(np.mean(each))
    assert whole["gain"] == pytest.approx(np.mean(gains), abs=1e-6)
    half = 1.96 * np.std(gains, ddof=1) / math.sqrt(8)
    assert whole["high"] - whole["gain"] == pytest.approx(half, rel=1e-4)


def test_mates_are_people_with_two_images_and_not_too_many_of_them():
    label = np.array([3, 1, 3, 2, *[5] * 100])
    rows = list(mates_of(label))
    assert rows[0].tolist() == [0, 2]
    assert len(rows) == 2
    assert len(rows[1]) == MAX_MATES
    assert {4, 103} <= set(rows[1].tolist())
    with pytest.raises(ValueError, match="no person has two images"):
        fit(np.eye(DIM, dtype=np.float32)[:2], np.array([0, 1]), 1.0, 0.5)
