"""Guidance mixes two answers of one call; guidance 1 is the plain conditional model."""

from __future__ import annotations

import pytest
import torch

from factory.diffusion.guidance import Conditioning, guided, ramped
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import SAMPLERS, sample
from factory.diffusion.uvit import Shape, UViT


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.final.weight, std=0.1)
    return network


def conditioned_on(condition, guidance, negative=None, **hints) -> Conditioning:
    negative = torch.zeros_like(condition) if negative is None else negative
    return Conditioning(condition, negative, torch.tensor(guidance), **hints)


def test_guidance_mixes_conditional_and_unconditional(network):
    schedule = NoiseSchedule(1000)
    x, condition = torch.randn(2, 2, 8, 8), torch.randn(2, 6)

    def at(g):
        return guided(network, schedule, "x0", conditioned_on(condition, g))(x, 500)

    t = torch.full((2,), 500)
    plain = network(x, t, condition)
    unconditional = network(x, t, torch.zeros(2, 6))
    torch.testing.assert_close(at([1.0, 1.0]), plain)
    torch.testing.assert_close(at([0.0, 0.0]), unconditional, atol=1e-5, rtol=1e-4)
    mixed = unconditional + torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) * (plain - unconditional)
    torch.testing.assert_close(at([1.0, 3.0]), mixed, atol=1e-5, rtol=1e-4)


def test_guidance_leads_away_from_another_identity(network):
    schedule, x = NoiseSchedule(1000), torch.randn(2, 2, 8, 8)
    condition, other, t = torch.randn(2, 6), torch.randn(2, 6), torch.full((2,), 500)
    got = guided(network, schedule, "x0", conditioned_on(condition, [2.0, 2.0], other))(x, 500)
    wanted, negative = network(x, t, condition), network(x, t, other)
    torch.testing.assert_close(got, 2 * wanted - negative, atol=1e-5, rtol=1e-4)


def test_guidance_acts_in_its_interval_alone(network):
    schedule, x, condition = NoiseSchedule(1000), torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    inside = guided(network, schedule, "x0", conditioned_on(condition, [3.0, 3.0]), (0.2, 0.6))
    whole = guided(network, schedule, "x0", conditioned_on(condition, [3.0, 3.0]))
    plain = guided(network, schedule, "x0", conditioned_on(condition, [1.0, 1.0]))
    for t, same in ((100, plain), (500, whole), (900, plain)):
        torch.testing.assert_close(inside(x, t), same(x, t), atol=1e-5, rtol=1e-4)


def test_the_noise_level_of_the_interval_is_that_of_the_timesteps_end():
    """Of ten timesteps the fifth, t = 4, is at .5; both ends of an interval belong to it."""

    def network(x, t_B, identity_BD, similarity_B):
        return x * identity_BD[:, :1, None, None]

    condition, x = torch.ones(2, 6), torch.ones(2, 2, 8, 8)
    conditioning = conditioned_on(condition, [3.0, 3.0])
    denoise = guided(network, NoiseSchedule(10), "x0", conditioning, (0.5, 0.7))
    assert [float(denoise(x, t)[0, 0, 0, 0]) for t in range(3, 8)] == [1, 3, 3, 3, 1]


@pytest.mark.parametrize("spacing", ["trailing", "logsnr"])
@pytest.mark.parametrize("kind", sorted(SAMPLERS))
def test_a_sampler_pays_for_guidance_in_its_interval_alone(network, kind, spacing):
    """Ends count as inside; outside there is one answer an image, the conditional one.

    The result is that of the sampler with the mixture written out, answer by answer.
    """
    schedule, guidance, ends = NoiseSchedule(1000), 2.5, (0.2, 0.6)
    condition, noise = torch.randn(2, 6), torch.randn(2, 2, 8, 8)
    calls: list[tuple[int, int]] = []

    def counted(x, t_B, identity_BD, similarity_B):
        calls.append((int(t_B[0]) + 1, len(x)))
        return network(x, t_B, identity_BD, similarity_B)

    def written_out(x, t):
        t_B = torch.full((2,), t)
        wanted = network(x, t_B, condition)
        if 200 <= t + 1 <= 600:
            away_from = network(x, t_B, torch.zeros(2, 6))
            return away_from + guidance * (wanted - away_from)
        return wanted

    denoise = guided(counted, schedule, "x0", conditioned_on(condition, [guidance] * 2), ends)
    got = sample(kind, denoise, noise, schedule, 10, spacing)
    levels = [level for level, _ in calls]
    assert len(calls) == 10
    assert calls == [(level, 4 if 200 <= level <= 600 else 2) for level in levels]
    assert len({rows for _, rows in calls}) == 2
    if spacing == "trailing":
        assert {200, 600} <= set(levels)  # both ends were met
    wanted = sample(kind, written_out, noise, schedule, 10, spacing)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_guidance_leads_away_from_another_similarity():
    def network(x, t_B, identity_BD, similarity_B):
        return x * similarity_B.view(-1, 1, 1, 1)

    condition, x = torch.ones(2, 6), torch.randn(2, 2, 8, 8)
    similarity, negative = torch.tensor([0.5, -0.2]), torch.tensor([1.0, 0.0])
    similarities = {"similarity_B": similarity, "negative_similarity_B": negative}
    conditioning = conditioned_on(condition, [2.0, 2.0], condition, **similarities)
    got = guided(network, NoiseSchedule(10), "x0", conditioning)(x, 5)
    factor = 2 * similarity - negative
    torch.testing.assert_close(got, x * factor.view(2, 1, 1, 1))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_both_answers_have_the_same_hint(guidance):
    def network(x, t_B, identity_BD, similarity_B, hint_BSHW):
        return x * identity_BD[:, :1, None, None] + hint_BSHW

    condition, hint = torch.full((2, 6), 3.0), torch.randn(2, 2, 8, 8)
    x = torch.randn(2, 2, 8, 8)
    conditioning = conditioned_on(condition, [guidance] * 2, torch.ones(2, 6), hint_BSHW=hint)
    got = guided(network, NoiseSchedule(10), "x0", conditioning)(x, 5)
    torch.testing.assert_close(got, x * (1 + guidance * 2) + hint)


@pytest.mark.parametrize("ramp", [(0.0, 1.0), (1.0, 0.0), (0.5, 2.0)])
@pytest.mark.parametrize("kind", sorted(SAMPLERS))
def test_a_ramp_weighs_a_negative_by_the_noise_in_every_sampler(kind, ramp):
    """w(t) = (g-1) * r(t/T) at each call, r linear: by a network that answers its condition."""
    schedule, calls = NoiseSchedule(100), []

    def network(x, t_B, identity_BD, similarity_B):
        calls.append((int(t_B[0]), len(x)))
        return identity_BD[:, :1, None, None].expand(-1, 1, 2, 2) + 0 * x

    given = conditioned_on(torch.tensor([[1.0]]), [3.0], torch.tensor([[0.25]]))
    denoise = guided(network, schedule, "x0", given, ramp=ramp)
    seen = []

    def told(x, t):
        answer = denoise(x, t)
        seen.append((t, float(answer.mean())))
        return answer

    sample(kind, told, torch.zeros(1, 1, 2, 2), schedule, 6)
    assert len(calls) == len(seen) == 6  # no call more than without a negative
    for (t, rows), (_, answer) in zip(calls, seen, strict=True):
        level = (t + 1) / 100
        weight = 2 * (ramp[1] + (ramp[0] - ramp[1]) * level)  # NegFaceDiff's w = g - 1 = 2
        assert answer == pytest.approx((1 + weight) * 1.0 - weight * 0.25, rel=1e-5)
        assert rows == (2 if weight else 1)


def test_without_a_ramp_guidance_is_the_same_tensor():
    strength = torch.tensor([2.0])
    assert ramped(strength, (1.0, 1.0), 0.3) is strength
    assert ramped(strength, (0.0, 1.0), 1.0) is None


def mixed_of(weights, second, **others) -> dict[str, torch.Tensor]:
    return {"second_BD": second, "weight_B": torch.tensor(weights), **others}


@pytest.mark.parametrize("prediction", ["x0", "v", "epsilon"])
def test_a_mix_is_led_by_both_of_its_parents(network, prediction):
    """x0 = u + g*(w*c_a + (1-w)*c_b - u), which is the same convex sum of the raw predictions."""
    schedule, t = NoiseSchedule(1000), 600
    x, first, second = torch.randn(3, 2, 8, 8), torch.randn(3, 6), torch.randn(3, 6)
    weights, guidance = [0.25, 1.0, 0.5], [2.5, 2.5, 1.5]
    given = conditioned_on(first, guidance, **mixed_of(weights, second))
    got = guided(network, schedule, prediction, given)(x, t)
    t_B = torch.full((3,), t)
    outputs = [network(x, t_B, who) for who in (first, second, torch.zeros(3, 6))]
    a, b, u = (schedule.x0_at(output, x, t, prediction) for output in outputs)
    w, g = (torch.tensor(values).view(-1, 1, 1, 1) for values in (weights, guidance))
    torch.testing.assert_close(got, u + g * (w * a + (1 - w) * b - u), atol=1e-4, rtol=1e-4)
    raw = w * outputs[0] + (1 - w) * outputs[1]
    mixed = schedule.x0_at(raw, x, t, prediction)
    torch.testing.assert_close(got, u + g * (mixed - u), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("level", "rows"), [(100, [2, 2]), (500, [4, 2]), (900, [2, 2])])
def test_a_mix_is_guided_in_the_interval_alone(network, level, rows):
    schedule, called = NoiseSchedule(1000), []
    x, first, second = torch.randn(2, 2, 8, 8), torch.randn(2, 6), torch.randn(2, 6)

    def counted(x, t_B, identity_BD, similarity_B):
        called.append(len(x))
        return network(x, t_B, identity_BD, similarity_B)

    given = conditioned_on(first, [3.0, 3.0], **mixed_of([0.5, 0.5], second))
    got = guided(counted, schedule, "x0", given, (0.2, 0.6))(x, level)
    assert called == rows
    t_B = torch.full((2,), level)
    mean = (network(x, t_B, first) + network(x, t_B, second)) / 2
    if rows == [4, 2]:
        away_from = network(x, t_B, torch.zeros(2, 6))
        mean = away_from + 3 * (mean - away_from)
    torch.testing.assert_close(got, mean, atol=1e-5, rtol=1e-4)


def test_who_is_no_mix_has_the_bits_of_a_batch_without_mixes(network):
    schedule, x, condition = NoiseSchedule(1000), torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    second = torch.stack([torch.randn(6), torch.full((6,), float("nan"))])  # whatever is there
    for strength in (1.0, 2.0):
        plain = conditioned_on(condition, [strength] * 2)
        given = conditioned_on(condition, [strength] * 2, **mixed_of([0.5, 1.0], second))
        wanted, got = (guided(network, schedule, "v", one)(x, 500) for one in (plain, given))
        assert torch.equal(got[1], wanted[1])
        assert not torch.equal(got[0], wanted[0])


def test_both_parents_are_shown_the_hint_and_the_similarity():
    def network(x, t_B, identity_BD, similarity_B, hint_BSHW):
        return identity_BD[:, :1, None, None] * similarity_B.view(-1, 1, 1, 1) + hint_BSHW

    x, hint, similarity = torch.zeros(2, 2, 8, 8), torch.randn(2, 2, 8, 8), torch.tensor([0.5, 2.0])
    told = {"similarity_B": similarity, "negative_similarity_B": similarity, "hint_BSHW": hint}
    told |= mixed_of([0.25, 0.25], torch.full((2, 6), 7.0))
    given = conditioned_on(torch.full((2, 6), 3.0), [2.0, 2.0], torch.ones(2, 6), **told)
    got = guided(network, NoiseSchedule(10), "x0", given)(x, 5)
    # parents 3 and 7 make 6, and guidance 2 leads from 1 to 11
    torch.testing.assert_close(got, 11 * similarity.view(2, 1, 1, 1) + hint)
