"""The filter: noise goes, edges, surfaces and strands stay."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.scene.denoise import RADIUS, Guide, clipped, denoised

PX = 24


def flat_guide() -> Guide:
    return Guide(
        np.tile([0.0, 0, 1], (PX, PX, 1)), np.full((PX, PX, 3), 0.5),
        np.zeros((PX, PX), bool), np.zeros((PX, PX, 2)),
    )  # fmt: skip


def halves_of(truth_HWC: np.ndarray, noise: float, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    image = np.concatenate([truth_HWC, np.ones((PX, PX, 1))], -1)
    scale = [noise, noise, noise, 0.0]
    return [image + rng.normal(size=image.shape) * scale for _ in range(2)]


def rms(image_HWC: np.ndarray, truth_HWC: np.ndarray) -> float:
    return float(np.sqrt(((image_HWC[..., :3] - truth_HWC) ** 2).mean()))


def test_halves_without_noise_come_back_as_they_are():
    truth = np.random.default_rng(0).uniform(0.2, 0.4, (PX, PX, 3))
    first, second = halves_of(truth, 0.0)
    np.testing.assert_allclose(denoised(first, second, flat_guide())[..., :3], truth, atol=0.002)


def test_a_plain_surface_loses_nearly_all_noise_a_window_can_take():
    truth = np.full((PX, PX, 3), 0.3)
    first, second = halves_of(truth, 0.05)
    raw, filtered = (first + second) / 2, denoised(first, second, flat_guide())
    assert rms(filtered, truth) < 0.35 * rms(raw, truth)
    # No filter of the window can do better than its mean.
    assert rms(filtered, truth) > rms(raw, truth) / (2 * RADIUS + 1) * 0.8


def test_a_shadow_s_edge_stays_though_no_surface_ends_there():
    truth = np.full((PX, PX, 3), 0.3)
    truth[:, PX // 2 :] = 0.1
    filtered = denoised(*halves_of(truth, 0.02), flat_guide())
    np.testing.assert_allclose(filtered[:, PX // 2 - 1, :3].mean(), 0.3, atol=0.015)
    np.testing.assert_allclose(filtered[:, PX // 2, :3].mean(), 0.1, atol=0.015)


def test_a_mole_stays_where_its_color_is_known():
    """A spot as faint as the noise: only the albedo tells it from the rest."""
    truth, guide = np.full((PX, PX, 3), 0.3), flat_guide()
    truth[10:13, 10:13] = 0.24
    guide.albedo_HW3[10:13, 10:13] = 0.2
    halves = halves_of(truth, 0.06)
    kept = denoised(*halves, guide)[10:13, 10:13, :3].mean()
    lost = denoised(*halves, flat_guide())[10:13, 10:13, :3].mean()
    assert abs(kept - 0.24) < abs(lost - 0.24)


def test_surfaces_that_face_elsewhere_do_not_mix():
    truth, guide = np.full((PX, PX, 3), 0.3), flat_guide()
    truth[:, 12:] = 0.26
    guide.normals_HW3[:, 12:] = [1, 0, 0]
    halves = halves_of(truth, 0.06)
    apart, mixed = (denoised(*halves, g)[:, :, :3] for g in (guide, flat_guide()))
    step = [side[:, 12].mean() - side[:, 11].mean() for side in (apart, mixed)]
    assert step[0] < step[1] - 0.005


@pytest.mark.parametrize("vertical", [True, False])
def test_strands_are_averaged_along_and_not_across(vertical):
    """What is left of pure noise is streaks that run as the strands do."""
    tangents = np.tile([0.0, 1.0] if vertical else [1.0, 0.0], (PX, PX, 1))
    guide = Guide(
        np.random.default_rng(3).normal(size=(PX, PX, 3)), np.full((PX, PX, 3), 0.5),
        np.ones((PX, PX), bool), tangents,
    )  # fmt: skip
    left = denoised(*halves_of(np.full((PX, PX, 3), 0.2), 0.02), guide)[2:-2, 2:-2, 0]
    left = left - left.mean()
    down, right = ((left * np.roll(left, 1, axis)).mean() / left.var() for axis in (0, 1))
    along, across = (down, right) if vertical else (right, down)
    assert along > 0.6
    assert across < along - 0.2


def test_one_lucky_path_is_clipped_and_a_highlight_is_not():
    truth = np.full((PX, PX, 3), 0.3)
    first, second = halves_of(truth, 0.0)
    first[5, 5, :3] = 90.0
    first[15, 15, :3] = second[15, 15, :3] = 9.0
    filtered = denoised(first, second, flat_guide())
    assert filtered[5, 5, 0] < 0.7
    assert filtered[15, 15, 0] == pytest.approx(9.0, rel=0.05)
    assert (clipped(second, first) == second).all()


def test_alpha_is_filtered_with_its_light():
    """A fringe cannot appear: light of 1 times alpha stays light of 1 times alpha."""
    alpha = np.zeros((PX, PX, 1))
    alpha[:, 10:] = 1
    alpha[:, 9] = 0.5
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(2):
        noisy = np.clip(alpha + (alpha == 0.5) * rng.normal(size=alpha.shape) * 0.3, 0, 1)
        halves.append(np.concatenate([np.tile(noisy * 0.4, 3), noisy], -1))
    filtered = denoised(*halves, flat_guide())
    np.testing.assert_allclose(filtered[..., 0], 0.4 * filtered[..., 3], atol=1e-3)
