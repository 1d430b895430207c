from dataclasses import replace

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.people.people import draw_person
from factory.rendering.view import View
from factory.rendering.views.images import (
    CANDID_FRACTION,
    CANDID_STD,
    DRIFT_MOST_YEARS,
    HAIR_STATE_FRACTIONS,
    LARGEST_DEG,
    NUM_HAIR_STATES,
    POSED_STD,
    Stream,
    draw_landmark_noise,
    draw_pose,
    draw_view,
    hair_states,
)
from factory.rendering.views.lights import LUMINANCE, face_irradiance

CONFIG = RenderingConfig()
PERSON = draw_person(CONFIG, 5)
VIEWS = [
    draw_view(CONFIG, draw_person(CONFIG, number), n) for number in range(30) for n in range(20)
]


def _aspects(view: View) -> dict[str, object]:
    """What each part of config can change."""
    muscles = tuple(m for m in view.expression if not m[0].startswith("eyeLook"))
    camera = replace(view.camera, white_balance=(1.0, 1.0, 1.0))  # which answers to the light
    return {
        "yaw": view.pose.yaw, "pitch": view.pose.pitch, "roll": view.pose.roll,
        "expression": (view.expression_name, muscles), "gaze": view.gaze, "light": view.light,
        "camera": camera, "hair": view.hair, "age": view.age_drift, "wear": view.wear,
        "landmarks": view.landmark_noise, "background": view.background,
    }  # fmt: skip


def test_a_view_follows_from_seed_person_and_number() -> None:
    assert draw_view(CONFIG, PERSON, 3) == draw_view(CONFIG, PERSON, 3)
    others = [
        draw_view(CONFIG, PERSON, 4),
        draw_view(CONFIG, draw_person(CONFIG, 6), 3),
        draw_view(replace(CONFIG, seed=1), PERSON, 3),
    ]
    seeds = {view.seed for view in (draw_view(CONFIG, PERSON, 3), *others)}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("key", "value", "may_change"),
    [
        ("light", "studio", {"light"}),
        ("camera", "clean", {"camera"}),
        ("expression", 0.0, {"expression"}),
        ("expression", 0.5, {"expression"}),
        ("background", "plain", {"background"}),
        ("hat_fraction", 0.0, {"wear"}),
        ("mask_fraction", 0.0, {"wear"}),
        ("sunglasses_fraction", 0.0, {"wear"}),
        ("scarf_fraction", 1.0, {"wear"}),
        ("hand_fraction", 1.0, {"wear"}),
        ("glasses_fraction", 0.0, {"wear"}),
        ("yaw_std_deg", 0.0, {"yaw", "gaze"}),
        ("pitch_std_deg", 0.0, {"pitch", "gaze"}),
        ("roll_std_deg", 0.0, {"roll"}),
        ("samples", 1, set()),
        ("hair", False, set()),
    ],
)
def test_a_key_changes_its_own_aspect_and_nothing_else(
    key: str, value: object, may_change: set[str]
) -> None:
    """What makes an ablation honest: without hats the light is the same."""
    other = replace(CONFIG, **{key: value})
    for image in range(20):
        one, two = (_aspects(draw_view(config, PERSON, image)) for config in (CONFIG, other))
        changed = {name for name in one if one[name] != two[name]}
        assert changed <= may_change


@pytest.mark.parametrize(
    ("key", "value", "changes"),
    [("light", "studio", "light"), ("camera", "clean", "camera"), ("yaw_std_deg", 3.0, "yaw"),
     ("expression", 0.0, "expression")],
)  # fmt: skip
def test_keys_do_change_their_aspect(key: str, value: object, changes: str) -> None:
    other = replace(CONFIG, **{key: value})
    pairs = [
        [_aspects(draw_view(config, PERSON, image))[changes] for config in (CONFIG, other)]
        for image in range(10)
    ]
    assert sum(one != two for one, two in pairs) >= 8


def test_streams_have_numbers_of_their_own() -> None:
    assert len(set(Stream)) == 10
    assert min(Stream) > 100
    assert [int(stream) for stream in Stream] == list(range(101, 111))


def test_parts_of_a_mixture_have_the_variance_that_is_asked_for() -> None:
    variance = (1 - CANDID_FRACTION) * POSED_STD**2 + CANDID_FRACTION * CANDID_STD**2
    assert variance == pytest.approx(1)


def test_poses_have_the_spread_of_config_and_heavy_tails() -> None:
    config = replace(CONFIG, yaw_std_deg=10.0, pitch_std_deg=5.0, roll_std_deg=4.0)
    poses = [draw_pose(config, np.random.default_rng([7, n])) for n in range(6000)]
    angles = np.array([(pose.yaw, pose.pitch, pose.roll) for pose in poses])
    assert np.abs(angles.mean(0)).max() < 0.5
    assert angles.std(0) == pytest.approx([10, 5, 4], rel=0.04)
    kurtosis = ((angles / angles.std(0)) ** 4).mean(0)
    mixed = 3 * ((1 - CANDID_FRACTION) * POSED_STD**4 + CANDID_FRACTION * CANDID_STD**4)
    assert kurtosis == pytest.approx([mixed] * 3, rel=0.2)
    wide = replace(CONFIG, yaw_std_deg=60.0, pitch_std_deg=40.0, roll_std_deg=40.0)
    poses = [draw_pose(wide, np.random.default_rng([8, n])) for n in range(300)]
    angles = np.array([(pose.yaw, pose.pitch, pose.roll) for pose in poses])
    assert np.abs(angles).max(0) == pytest.approx(LARGEST_DEG)


def test_yaw_is_that_of_photographs_in_its_middle() -> None:
    """LFW: half of the heads within 9.6 degrees, three quarters within 15.5 (README)."""
    yaw = np.abs([view.pose.yaw for view in VIEWS])
    assert np.percentile(yaw, [50, 75]) == pytest.approx([9.6, 15.5], abs=2.0)
    assert 25 < np.percentile(yaw, 95) < 42


def test_hair_has_at_most_three_states_a_person() -> None:
    drawn = [draw_view(CONFIG, PERSON, image).hair for image in range(200)]
    assert set(drawn) == set(hair_states(PERSON))
    assert len(set(drawn)) == NUM_HAIR_STATES
    as_always = np.mean([state == hair_states(PERSON)[0] for state in drawn])
    assert as_always == pytest.approx(HAIR_STATE_FRACTIONS[0], abs=0.1)


def test_only_long_hair_is_tied() -> None:
    people = [draw_person(CONFIG, number) for number in range(40)]
    short = [replace(p, hair=replace(p.hair, length=5.0)) for p in people]
    long = [replace(p, hair=replace(p.hair, length=40.0)) for p in people]
    assert not any(state.tied for person in short for state in hair_states(person))
    tied = np.mean([any(state.tied for state in hair_states(person)) for person in long])
    assert tied == pytest.approx(0.8, abs=0.2)


def test_ages_of_images_differ_by_some_years() -> None:
    years = np.array([view.age_drift for view in VIEWS])
    assert np.abs(years).max() <= DRIFT_MOST_YEARS
    assert years.mean() == pytest.approx(0, abs=0.35)
    assert years.std() == pytest.approx(2.45, abs=0.25)


def test_points_are_as_wrong_as_a_detectors() -> None:
    noise = np.array([draw_landmark_noise(np.random.default_rng(n)) for n in range(2000)])
    assert noise.shape == (2000, 5, 2)
    expected = np.sqrt((0.3**2 + 0.3 * 0.8 + 0.8**2) / 3)  # of a uniform standard deviation
    assert noise.std() == pytest.approx(expected, rel=0.03)
    assert np.abs(noise.mean((0, 1))).max() < 0.03


def test_white_balance_takes_back_the_color_of_the_light_but_for_a_residual() -> None:
    for view in VIEWS[:100]:
        seen = face_irradiance(view.light) / np.pi * view.camera.white_balance
        color = face_irradiance(view.light) / np.pi
        assert np.ptp(np.log(seen)) < 0.4 * np.ptp(np.log(color)) + 0.35
        assert LUMINANCE @ seen == pytest.approx(1, abs=0.12)
