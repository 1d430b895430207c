"""A sampler that a generator cannot draw with is refused, and one that it can is planned."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.diffusion.pose import CHANNELS, PoseModel
from factory.diffusion.similarity import TrainingSimilarities
from factory.diffusion.uvit import Shape, UViT
from factory.errors import ConfigError
from factory.execution.inline import run_units
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards.layout import release_store
from factory.shards.plan_files import open_plan
from factory.shards.verify import verify
from factory.shots.plan import first_round_shots
from factory.shots.request import PlanRequest
from factory.sources.pose import learned_range
from factory.synthesis.diffusion_loading import check_sampler
from tests.conftest import PX, save
from tests.factory.diffusion.heads import many_heads, with_mirrors


@pytest.fixture
def posed(weights, tmp_path):
    """Folder of an untrained generator whose hint are five points."""
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    shape = replace(Shape.from_config(plain.config), hint_channels=CHANNELS, hint_px=PX)
    torch.manual_seed(0)
    network = UViT(shape)
    model = PoseModel.learn(with_mirrors(many_heads()), 112)
    config = plain.config | {"shape": asdict(shape), "pose": asdict(model)}
    save(tmp_path / "posed", "generator", network.state_dict(), config, plain.lineage)
    return tmp_path / "posed"


STUDENT = ("sampler.kind=distilled", "sampler.num_steps=2", "sampler.guidance=null")
"""Settings of a release that draws with `student`."""


@pytest.fixture
def student(weights, tmp_path):
    """Folder of a generator that says that it was distilled to two calls."""
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    config = plain.config | {"distilled": {"num_steps": 2, "guidance": 2.5}}
    save(tmp_path / "student", "generator", plain.tensors, config, plain.lineage)
    return tmp_path / "student"


def test_a_student_is_drawn_with_as_it_has_learned(student, release_config):
    """A plan names what was learned, given or not; by another sampler it is another plan."""
    named = f"generator.checkpoint={student}"
    request = preflight(release_config(named, *STUDENT)).request
    same = preflight(release_config(named, *STUDENT, "sampler.guidance=2.5")).request
    assert request.sampler.guidance == 2.5
    assert request == same
    plain = preflight(release_config("sampler.num_steps=2", "sampler.guidance=2.5")).request
    assert request.sampler == replace(plain.sampler, kind="distilled")
    other = replace(request, sampler=plain.sampler)
    assert request.to_dict() != other.to_dict()
    assert PlanRequest.from_dict(request.to_dict()) == request
    with pytest.raises(ConfigError, match=r"^sampler\.kind: got 'distilled' for a generator th"):
        preflight(release_config(*STUDENT))
    with pytest.raises(ConfigError, match=r"^sampler\.kind: got 'unipc' .* distilled to 2 calls"):
        preflight(release_config(named))
    with pytest.raises(ConfigError, match=r"^sampler\.num_steps: got 3 .* to 2 calls; want 2"):
        preflight(release_config(named, *STUDENT, "sampler.num_steps=3"))
    with pytest.raises(ConfigError, match=r"^sampler\.guidance: got 1\.5 .* learned 2\.5; want 2"):
        preflight(release_config(named, *STUDENT, "sampler.guidance=1.5"))


def test_a_release_is_drawn_by_a_student(student, release_config):
    """From config to seal; every image says how it was drawn."""
    config = release_config(f"generator.checkpoint={student}", *STUDENT)
    build(config, run_units, log=lambda line: None)
    store = release_store(config)
    plan, roster = open_plan(store)
    assert verify(store) == []
    shots = [s for unit in plan.units for s in first_round_shots(plan.request, unit, roster)]
    assert {(s.sampler, s.num_steps, s.guidance) for s in shots} == {("distilled", 2, 2.5)}
    metadata = checkpoint.read_metadata(str(student), "generator", "k")
    assert plan.request.weights["generator"] == metadata["sha256"]


def planned_shots(config):
    """(the plan's bins of poses, all shots of its first round)."""
    store = release_store(config)
    plan = write_plan(config, preflight(config), store)
    roster = open_plan(store)[1]
    shots = [s for unit in plan.units for s in first_round_shots(plan.request, unit, roster)]
    return plan.request.pose.bins, shots


def test_poses_are_those_that_are_given(posed, release_config):
    config = release_config(f"generator.checkpoint={posed}", "sampler.yaw=[-20,20]")
    _, shots = planned_shots(config)
    assert {shot.yaw for shot in shots} == {-20.0, 20.0}
    assert all(shot.pitch is not None for shot in shots)


def test_poses_are_the_sources_where_none_are_given(posed, release_config):
    bins, shots = planned_shots(release_config(f"generator.checkpoint={posed}"))
    yaws = [shot.yaw for shot in shots]
    low, high = learned_range(bins, 0)
    assert len(set(yaws)) == len(yaws)
    assert all(low <= yaw <= high for yaw in yaws)


def test_poses_that_it_cannot_draw_are_refused(posed, release_config):
    with pytest.raises(ConfigError, match=r"sampler\.yaw: got 80 degrees; the generator learned"):
        preflight(release_config(f"generator.checkpoint={posed}", "sampler.yaw=[0,80]"))
    with pytest.raises(ConfigError, match=r"sampler\.pitch: got \[0\.0\] for a generator that is"):
        preflight(release_config("sampler.pitch=[0]"))


def test_epsilon_is_not_spaced_trailing(release_config):
    """Its first step would multiply the network's error by sqrt(alpha_bar_949 / alpha_bar_999)."""
    generator = {"num_timesteps": 1000, "prediction": "epsilon", "shape": {}}
    with pytest.raises(ConfigError, match=r"sampler\.timestep_spacing: got 'trailing' .* epsilon"):
        check_sampler(release_config(), generator)
    check_sampler(release_config("sampler.timestep_spacing=logsnr"), generator)


def test_more_steps_than_the_generator_learned_are_refused(release_config):
    generator = {"num_timesteps": 10, "prediction": "v", "shape": {}}
    with pytest.raises(ConfigError, match=r"sampler\.num_steps: got 11; want at most .* 10"):
        check_sampler(release_config("sampler.num_steps=11"), generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("sampler.similarity=[1.5]",), r"sampler\.similarity: got 1\.5; want cosines"),
        (("sampler.similarity=[0.0]",), r"generator with 0 similarity tokens; want none"),
        (
            ("sampler.similarity=[0.0]", "filters.min_own_cosine=.4"),
            r"filters\.min_own_cosine: got 0\.4 while sampler\.similarity asks for 0\.0",
        ),
        (
            ("sampler.negative_condition=same_identity",),
            r"sampler\.negative_condition: got 'same_identity' without sampler\.similarity",
        ),
        (
            ("sampler.negative_condition=same_identity", "sampler.similarity=[.5,1]"),
            r"sampler\.similarity: got 1 with sampler\.negative_condition=same_identity",
        ),
        (("sampler.guidance_interval=[.5,.5]",), r"sampler\.guidance_interval: got \[0\.5, 0\.5\]"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(release_config, settings, message):
    with pytest.raises(ConfigError, match=message):
        preflight(release_config(*settings))


SEEN = TrainingSimilarities.of(np.linspace(0.5, 0.9, 1001), 0, ["a" * 64])


@pytest.fixture
def measured(weights, tmp_path):
    """Folder of an untrained generator whose labels were from .502 to .898."""
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    shape = replace(Shape.from_config(plain.config), similarity_tokens=2)
    config = plain.config | {"shape": asdict(shape), "similarity": SEEN.to_json()}
    network = UViT(shape)
    save(tmp_path / "measured", "generator", network.state_dict(), config, plain.lineage)
    return tmp_path / "measured"


@pytest.mark.parametrize("m", [0.0, 0.48, 0.92, 1.0])
def test_a_similarity_that_was_never_seen_is_refused_before_anything_is_planned(
    measured, release_config, m
):
    """With the key, what it got, what it was trained with, and what to do."""
    items = (f"generator.checkpoint={measured}", f"sampler.similarity=[.7,{m}]")
    with pytest.raises(ConfigError) as raised:
        preflight(release_config(*items))
    assert str(raised.value) == (
        f"sampler.similarity: got {m:g} for a generator trained with measured ones of 0.502 to "
        "0.898; want values at most 0.02 outside these, or a generator trained with "
        "generator.similarity_label=asked"
    )


def test_a_similarity_within_the_margin_is_planned(measured, release_config):
    items = (f"generator.checkpoint={measured}", "sampler.similarity=[.485,.9]")
    assert preflight(release_config(*items)).request.sampler.similarity == (0.485, 0.9)


def test_a_measured_generator_without_similarities_is_told_a_usual_one(measured, release_config):
    with pytest.raises(ConfigError, match=r"^sampler\.similarity: got \[\] .* such as \[0\.7\]"):
        preflight(release_config(f"generator.checkpoint={measured}"))
