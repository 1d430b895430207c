"""What the diffusion generator conditions its network on, by the fields of each shot."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.diffusion.pose import CHANNELS, PoseModel
from factory.diffusion.similarity import TrainingSimilarities
from factory.diffusion.uvit import Shape, UViT
from factory.records import Shot
from factory.sources.pose import yaw_degrees
from factory.synthesis.generators import DiffusionGenerator
from tests.factory.diffusion.heads import many_heads, with_mirrors

CPU = torch.device("cpu")
SHAPE = Shape(2, 8, 2, None, 32, 3, 2, 6)
UNIT_ND = np.eye(6, dtype=np.float32)[:2]


def checkpoint_of(shape: Shape, **config) -> checkpoint.Checkpoint:
    """An untrained network that predicts something."""
    torch.manual_seed(0)
    network = UViT(shape)
    torch.nn.init.normal_(network.final.weight, std=0.1)
    if shape.hint_channels:
        torch.nn.init.normal_(network.hint.weight)
    stored = {"shape": asdict(shape), "num_timesteps": 10, "prediction": "v", **config}
    return checkpoint.Checkpoint("generator", network.state_dict(), stored, 0, {}, {}, "")


def generator_of(loaded: checkpoint.Checkpoint) -> DiffusionGenerator:
    return DiffusionGenerator(loaded, None, UNIT_ND, CPU, "fp32")


def shot(slot: int = 0, **fields) -> Shot:
    return Shot("k", 0, slot, 0, slot, "ddim", 2, 2.0, 0, slot, **fields)


def test_what_guidance_leads_away_from_has_a_similarity_too():
    """No identity has none, another the same, the identity itself 1 or the largest measured."""
    generator = generator_of(checkpoint_of(replace(SHAPE, similarity_tokens=2)))
    negatives = (-1, 0, 1)  # none, itself, the other
    shots = [
        shot(slot, negative_identity=negative, perturbation_cos=0.9, similarity=0.25)
        for slot, negative in enumerate(negatives)
    ]
    _, conditioning = generator.inputs(shots, 4)
    assert conditioning.similarity_B.tolist() == [0.25, 0.25, 0.25, 0]
    assert conditioning.negative_similarity_B.tolist() == [0, 1, 0.25, 0]
    assert not conditioning.negative_BD[0].any()
    seen = TrainingSimilarities.of(np.linspace(0.5, 0.9, 1001), 0, []).to_json()
    measured = generator_of(checkpoint_of(replace(SHAPE, similarity_tokens=2), similarity=seen))
    _, other = measured.inputs(shots, 4)
    assert other.negative_similarity_B.tolist() == pytest.approx([0, 0.898, 0.25, 0])
    turned = conditioning.identity_BD[1]
    torch.testing.assert_close(conditioning.negative_BD[1], turned)
    torch.testing.assert_close(conditioning.negative_BD[2], torch.from_numpy(UNIT_ND[1]))


def test_every_shot_is_guided_as_strongly_as_it_says():
    shots = [replace(shot(slot), guidance=strength) for slot, strength in ((0, 2.0), (2, 3.5))]
    _, conditioning = generator_of(checkpoint_of(SHAPE)).inputs(shots, 3)
    assert conditioning.guidance_B.tolist() == [2.0, 2.0, 3.5]


def test_a_student_is_asked_once_a_step_without_guidance():
    """Whatever guidance its shots tell; the same image as DDIM at guidance 1."""
    generator, sizes = generator_of(checkpoint_of(SHAPE)), []
    shots = [replace(shot(slot), sampler="distilled", guidance=2.5, num_steps=4) for slot in (0, 1)]
    plain = [replace(one, sampler="ddim", guidance=1.0) for one in shots]
    network = generator._network
    hook = network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    drawn = generator.unrounded(shots, 2)
    hook.remove()
    assert sizes == [2, 2, 2, 2]
    np.testing.assert_array_equal(drawn, generator.unrounded(plain, 2))
    guided = [replace(one, sampler="ddim") for one in shots]
    assert np.abs(drawn - generator.unrounded(guided, 2)).max() > 1e-3


@pytest.fixture(scope="module")
def posed():
    """A generator whose hint are five points."""
    model = PoseModel.learn(with_mirrors(many_heads()), 112)
    return checkpoint_of(replace(SHAPE, hint_channels=CHANNELS, hint_px=32), pose=asdict(model))


def test_the_hint_shows_five_points_in_the_pose_of_the_shot(posed):
    generator = generator_of(posed)
    shots = [shot(0, yaw=-30.0, pitch=0.0), shot(1, yaw=30.0, pitch=0.0), shot(2)]
    _, conditioning = generator.inputs(shots, 4)
    hint = conditioning.hint_BSHW
    assert hint.shape == (4, CHANNELS, 32, 32)
    assert not hint[2:].any()  # a shot without a pose, and padding
    for slot, yaw in ((0, -30), (1, 30)):
        peaks = hint[slot].flatten(1).argmax(1)
        points = np.stack([peaks % 32, peaks // 32], 1).astype(float)
        assert np.sign(yaw_degrees(points)) == np.sign(yaw)
    drawn = generator.generate(shots, 4).images_BHWC
    others = generator.generate([replace(s, yaw=0.0, pitch=0.0) for s in shots], 4)
    assert (drawn != others.images_BHWC).any()


def test_a_checkpoint_of_version_0_1_draws_the_same_bytes(posed):
    """It calls the hint "seen"."""
    config, tensors = dict(posed.config), dict(posed.tensors)
    config["shape"] = {
        name.replace("hint_", "seen_"): value for name, value in config["shape"].items()
    }
    tensors["seen.weight"] = tensors.pop("hint.weight")
    old = replace(posed, config=config, tensors=tensors)
    shots = [shot(slot, yaw=-20.0, pitch=5.0) for slot in range(2)]
    new, again = (generator_of(loaded).generate(shots, 2) for loaded in (posed, old))
    assert np.array_equal(new.images_BHWC, again.images_BHWC)


def test_a_batch_that_is_not_finite_names_its_shot_and_padding_is_none():
    generator = generator_of(checkpoint_of(replace(SHAPE, channels=3)))
    shots = [shot(0), replace(shot(2), key="second")]  # nobody is in slots 1 and 3
    x0 = torch.zeros(4, 3, 8, 8)
    x0[1] = float("nan")
    assert generator.pixels(x0, shots).shape == (4, 8, 8, 3)
    x0[2, 0, 7, 7] = float("inf")
    with pytest.raises(FloatingPointError, match="second: sampling gave NaN or infinity"):
        generator.pixels(x0, shots)


def test_noise_is_the_stream_of_each_shot_whoever_is_beside_it():
    generator = generator_of(checkpoint_of(SHAPE))
    shots = [replace(shot(slot), seed=7 + slot) for slot in (3, 0)]
    noise, _ = generator.inputs(shots, 5)
    for one in shots:
        stream = np.random.Generator(np.random.Philox(one.seed))
        assert np.array_equal(noise[one.slot], stream.standard_normal((2, 8, 8), np.float32))
    assert not noise[[1, 2, 4]].any()
    alone, _ = generator.inputs(shots[1:], 5)
    assert torch.equal(alone[0], noise[0])


def test_pixels_stay_where_they_were_drawn():
    generator = generator_of(checkpoint_of(replace(SHAPE, channels=3)))
    batch = generator.generate([shot(0), shot(1)], 3)
    assert batch.for_networks is batch.device_BHWC
    assert np.array_equal(batch.device_BHWC.numpy(), batch.images_BHWC)
    assert batch.images_BHWC.dtype == np.uint8


MIX = {"first_parent": 1, "second_parent": 0, "mix_weight": 0.25}


def test_a_mix_is_drawn_from_its_parents_and_not_from_its_own_vector():
    generator = generator_of(checkpoint_of(SHAPE))
    shots = [shot(0), shot(1, **MIX), shot(2, perturbation_cos=0.9, **MIX)]
    _, conditioning = generator.inputs(shots, 4)
    assert conditioning.weight_B.tolist() == [1, 0.25, 0.25, 1]
    first, second = conditioning.identity_BD.numpy(), conditioning.second_BD.numpy()
    np.testing.assert_array_equal(first[:2], UNIT_ND[[0, 1]])
    np.testing.assert_array_equal(second[[0, 1, 3]], [np.zeros(6), UNIT_ND[0], np.zeros(6)])
    assert [first[2] @ UNIT_ND[1], second[2] @ UNIT_ND[0]] == pytest.approx([0.9, 0.9])
    aside = first[2] - 0.9 * UNIT_ND[1], second[2] - 0.9 * UNIT_ND[0]
    assert abs(aside[0] @ aside[1]) < 0.9 * np.prod([np.linalg.norm(one) for one in aside])
    assert generator.inputs(shots[:1], 4)[1].second_BD is None
    alone = generator.inputs(shots[2:], 4)[1]
    assert torch.equal(alone.second_BD[2], conditioning.second_BD[2])


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_bytes_of_an_image_do_not_depend_on_mixes_beside_it(guidance):
    generator = generator_of(checkpoint_of(replace(SHAPE, channels=3)))
    shots = [
        replace(one, guidance=guidance)
        for one in (shot(0), shot(1, **MIX), shot(2), replace(shot(3, **MIX), mix_weight=0.5))
    ]
    whole = generator.unrounded(shots, 5)
    for some in (shots[:1], shots[1:2], shots[2:], shots[1:3]):
        part = generator.unrounded(some, 5)
        for one in some:
            np.testing.assert_array_equal(part[one.slot], whole[one.slot])
    parents = [replace(shots[1], identity=who, **dict.fromkeys(MIX)) for who in (1, 0)]
    for parent in parents:
        assert np.abs(generator.unrounded([parent], 5)[1] - whole[1]).max() > 1e-3
    heavy = generator.unrounded([replace(shots[1], mix_weight=0.999999)], 5)
    np.testing.assert_allclose(heavy[1], generator.unrounded(parents[:1], 5)[1], atol=1e-3)
