"""Pose control: what is learned of heads, what a network is shown, and what a plan asks for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.diffusion import head_poses
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.pose import CHANNELS, PoseModel, landmark_images
from factory.diffusion.train import train
from factory.errors import ConfigError
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.shards.plan_files import open_plan
from factory.shots.plan import Plan, first_round_shots
from factory.sources import readers
from factory.sources.alignment import TEMPLATE_52, mirrored_points
from factory.sources.pose import draw_pose, learned_range, pitch_degrees, yaw_degrees
from factory.store import open_store
from factory.synthesis.loading import load_release
from tests.conftest import PX
from tests.factory.diffusion.test_train import faces_of, quiet, recipe  # noqa: F401


def head(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """The template's points with the nose where a head that turns would have it."""
    points = TEMPLATE_52.copy()
    points[2, 0] += np.tan(np.radians(yaw)) / 2 * 32
    points[2, 1] -= np.tan(np.radians(pitch)) / 2 * 40.7
    return points


def training_set(count: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    yaw, pitch = rng.uniform(-40, 40, count), rng.uniform(-15, 15, count)
    return np.stack([head(*pose) for pose in zip(yaw, pitch, strict=True)])


def both(points: np.ndarray) -> np.ndarray:
    """With the mirrors."""
    return np.stack([points, mirrored_points(points, 112)])


def test_poses_are_read_off_five_points():
    for yaw in (-30, 0, 20):
        assert yaw_degrees(head(yaw)) == pytest.approx(yaw, abs=2)
    for pitch in (-10, 0, 15):
        assert pitch_degrees(head(0, pitch)) == pytest.approx(pitch, abs=1)


def test_points_of_a_pose_have_that_pose():
    learned = PoseModel.learn(both(training_set()), 112)
    rng = np.random.default_rng(1)
    for yaw in (-30.0, 0.0, 35.0):
        found = [yaw_degrees(learned.points(yaw, 0.0, 112, rng)) for _ in range(20)]
        assert np.mean(found) == pytest.approx(yaw, abs=3)
    again = PoseModel.of(json.loads(json.dumps(dataclasses.asdict(learned))))
    assert again == learned


def test_poses_come_as_often_as_in_the_source():
    rng = np.random.default_rng(0)
    bins = [(-20.0, 0.0, 0.25), (10.0, 0.0, 0.75)]
    drawn = [draw_pose(bins, rng) for _ in range(2000)]
    left = np.mean([yaw < -5 for yaw, _ in drawn])
    assert left == pytest.approx(0.25, abs=0.03)
    assert learned_range(bins, 0) == (-25, 15)
    assert all(-25 <= yaw <= 15 and -5 <= pitch <= 5 for yaw, pitch in drawn)


def test_rare_poses_and_lost_faces_are_left_out():
    points = np.concatenate([training_set(), head(80)[None], np.full((9, 5, 2), np.nan)])
    low, high = learned_range(PoseModel.learn(both(points), 112).bins, 0)
    assert -50 < low < -30
    assert 30 < high < 50
    with pytest.raises(ConfigError, match=r"generator\.pose: five points were found in 9 faces"):
        PoseModel.learn(both(points[:9]), 112)


def test_landmark_images_have_a_spot_for_each_point():
    points = np.stack([TEMPLATE_52, np.full((5, 2), np.nan)])
    shown = landmark_images(points, 112)
    assert shown.shape == (2, CHANNELS, 112, 112)
    for channel, (x, y) in enumerate(TEMPLATE_52):
        peak = np.unravel_index(int(shown[0, channel].argmax()), (112, 112))
        assert peak == (round(y), round(x))
        assert shown[0, channel].max() > 0.9
        assert (shown[0, channel] > 0.1).float().mean() < 0.02
    assert not shown[1].any()


@pytest.fixture
def pretend_detector(monkeypatch):
    """Blobs have no faces: everybody gets a head that looks somewhere."""

    def points_of(images, detector):
        count = len(images)
        return np.stack([head(yaw) for yaw in np.linspace(-35, 35, count)]) * (PX / 112)

    monkeypatch.setattr(readers, "YuNet", lambda *told, **more: None)
    monkeypatch.setattr(head_poses, "YuNet", lambda *told, **more: None)
    monkeypatch.setattr(head_poses, "points_of", points_of)
    learn = PoseModel.learn
    many = classmethod(lambda cls, points, px: learn(np.concatenate([points] * 5, axis=1), px))
    monkeypatch.setattr(PoseModel, "learn", many)


@pytest.fixture
def posed(pretend_detector, recipe, weights, tmp_path):  # noqa: F811
    """Folder of a generator that was shown points for two steps."""
    detector = tmp_path / "yunet.onnx"
    detector.write_bytes(b"weights")
    config = recipe(
        "generator.pose=true",
        f"source.detector={detector}",
        "training.max_steps=2",
        "training.eval_every=1",
        "compute.precision=fp32",
    )
    train(config, quiet)
    return config.training.out


def test_a_generator_learns_from_points_and_keeps_the_poses(posed):
    loaded = checkpoint.load(posed, "generator", "x")
    assert loaded.config["shape"]["seen_channels"] == CHANNELS
    assert loaded.config["shape"]["seen_px"] == PX
    assert loaded.tensors["seen.weight"].abs().max() > 0
    assert len(list((Path(posed) / "sheets").glob("*.png"))) == 2
    low, high = learned_range(PoseModel.of(loaded.config["pose"]).bins, 0)
    assert low < -25 < 25 < high


def test_points_are_found_once_for_all_trainings(
    pretend_detector,
    recipe,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    detector = tmp_path / "yunet.onnx"
    detector.write_bytes(b"weights")
    config = recipe(f"source.detector={detector}", f"training.cache={tmp_path / 'cache'}")
    faces = faces_of(config)
    chosen = np.arange(len(faces))
    first = FacePoses(faces, config).images(chosen % 2, chosen)
    monkeypatch.setattr(head_poses, "points_of", None)  # not asked again
    again = FacePoses(faces, config).images(chosen % 2, chosen)
    torch.testing.assert_close(first, again)
    faces.images_NHWC[0] += 1  # aligned otherwise
    with pytest.raises(TypeError):
        FacePoses(faces, config)
    faces.images_NHWC[0] -= 1
    detector.write_bytes(b"other weights")
    with pytest.raises(TypeError):
        FacePoses(faces, config)


def test_without_a_detector_it_is_refused(recipe):  # noqa: F811
    with pytest.raises(ConfigError, match=r"source\.detector: nothing given while generator\.pose"):
        train(recipe("generator.pose=true"), quiet)


def test_a_release_asks_for_poses_and_the_network_is_shown_them(posed, release_config, tmp_path):
    config = release_config(f"generator.checkpoint={posed}", "sampler.yaw=[-20,20]")
    store = open_store(config.store).below("tiny/releases/0.1.0")
    plan = write_plan(config, preflight(config), store)
    shots = first_round_shots(plan.request, plan.units[0], open_plan(store)[1])
    assert {shot.yaw for shot in shots} <= {-20.0, 20.0}
    assert all(shot.pitch is not None for shot in shots)
    workshop = load_release(config, store)
    _, told = workshop.generator.inputs(shots[:3], 3)
    assert told.seen_BSHW.shape == (3, CHANNELS, PX, PX)
    drawn = workshop.generator.generate(shots[:3], 3)
    turned = [dataclasses.replace(shot, yaw=-shot.yaw) for shot in shots[:3]]
    assert (workshop.generator.generate(turned, 3) != drawn).any()
    assert not torch.equal(workshop.generator.inputs(turned, 3)[1].seen_BSHW, told.seen_BSHW)


def test_poses_are_the_sources_where_none_are_asked_for(posed, release_config):
    config = release_config(f"generator.checkpoint={posed}")
    store = open_store(config.store).below("tiny/releases/0.1.0")
    plan = write_plan(config, preflight(config), store)
    roster = open_plan(store)[1]
    yaws = [s.yaw for unit in plan.units for s in first_round_shots(plan.request, unit, roster)]
    low, high = learned_range(plan.request["pose"]["bins"], 0)
    assert len(set(yaws)) == len(yaws)
    assert all(low <= yaw <= high for yaw in yaws)
    assert isinstance(plan, Plan)


def test_poses_that_it_cannot_draw_are_refused(posed, release_config):
    with pytest.raises(ConfigError, match=r"sampler\.yaw: got 80 degrees; the generator learned"):
        preflight(release_config(f"generator.checkpoint={posed}", "sampler.yaw=[0,80]"))
    with pytest.raises(ConfigError, match=r"sampler\.pitch: got \[0\.0\] for a generator that is"):
        preflight(release_config("sampler.pitch=[0]"))
