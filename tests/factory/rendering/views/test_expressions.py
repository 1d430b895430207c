from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.head.head import head_model
from factory.rendering.people.people import draw_person
from factory.rendering.views.expressions import (
    BLINK_FRACTION,
    EYE_RANGE_DEG,
    HALF_CLOSED_FRACTION,
    KINDS,
    LOOKS_AT_CAMERA,
    NOISY,
    SINGLE,
    Habit,
    draw_expression,
    draw_gaze,
    fractions,
    habit_of,
    plausible,
    posed,
    sides,
    with_gaze,
)

CONFIG = RenderingConfig()
PEOPLE = [draw_person(CONFIG, number) for number in range(60)]
CALM = Habit(1.0, 1.0, 0.0)
DRAWN = [
    draw_expression(CONFIG, person, np.random.default_rng([person.index, image]))
    for person in PEOPLE
    for image in range(20)
]


def test_kinds_use_the_expressions_that_the_head_has_and_sum_to_one() -> None:
    known = set(head_model().expression_names)
    used = {side for kind in KINDS.values() for unit in kind.ranges for side in sides(unit)}
    assert used | {side for unit in NOISY for side in sides(unit)} | set(SINGLE) <= known
    assert sum(kind.fraction for kind in KINDS.values()) == pytest.approx(1)


def test_weights_are_sorted_named_once_and_in_range() -> None:
    known = set(head_model().expression_names)
    for _, weights in DRAWN:
        names = [name for name, _ in weights]
        assert names == sorted(set(names))
        assert set(names) <= known
        assert all(0 < weight <= 1 for _, weight in weights)


def test_closed_lips_stay_closed() -> None:
    for name, weights in DRAWN:
        named, kind = dict(weights), KINDS[name.split("_eyes")[0]]
        if kind.open_lips:
            assert not {"mouthClose", "mouthRollLower", "mouthPress_L"} & set(named), name
        else:
            assert named.get("mouthClose", 0) == named.get("jawOpen", 0), name


def test_a_jaw_that_opens_behind_closed_lips_is_made_good_by_mouth_close() -> None:
    """In the mesh: inner lips part by less than a fifth of what the jaw alone would part them."""
    model = head_model()

    def gap(weights: dict[str, float]) -> float:
        points = model.shaped(PEOPLE[0].shape, tuple(weights.items())).landmarks_68x3
        return float(points[62, 1] - points[66, 1])

    rest, opened = gap({}), gap({"jawOpen": 0.3})
    closed = gap(plausible({"jawOpen": 0.3}, open_lips=False))
    assert opened - rest > 0.8
    assert abs(closed - rest) < 0.2 * (opened - rest)


def test_eyes_that_close_are_not_wide() -> None:
    weights = plausible({"eyeBlink_L": 1.0, "eyeWide_L": 0.8, "eyeSquint_R": 0.5}, True)
    assert weights == {"eyeBlink_L": 1.0, "eyeSquint_R": 0.5}


def test_kinds_come_as_often_as_a_habit_says() -> None:
    counts = Counter(name.split("_eyes")[0] for name, _ in DRAWN)
    expected = np.mean([fractions(habit_of(person)) for person in PEOPLE], axis=0)
    for name, fraction in zip(KINDS, expected, strict=True):
        bound = 3.5 * np.sqrt(fraction * (1 - fraction) / len(DRAWN))
        assert abs(counts[name] / len(DRAWN) - fraction) < bound, name
    smiles = sum(counts[name] for name, kind in KINDS.items() if kind.smiles) / len(DRAWN)
    assert 0.33 < smiles < 0.5


def test_eyes_are_seldom_closed() -> None:
    closed = np.mean(["eyes_closed" in name for name, _ in DRAWN])
    half = np.mean(["eyes_half" in name for name, _ in DRAWN])
    assert closed == pytest.approx(BLINK_FRACTION, abs=0.011)
    assert half == pytest.approx(HALF_CLOSED_FRACTION, abs=0.015)
    for name, weights in DRAWN:
        blink = dict(weights)["eyeBlink_L"]
        assert ("closed" in name) == (blink >= 0.3 * 0.999), (name, blink)


def test_who_smiles_often_smiles_often() -> None:
    seldom, often = fractions(replace(CALM, smiling=0.5)), fractions(replace(CALM, smiling=2.0))
    smiles = np.array([kind.smiles for kind in KINDS.values()])
    odds = [parts[smiles].sum() / parts[~smiles].sum() for parts in (seldom, often)]
    assert odds[1] / odds[0] == pytest.approx(4)
    assert [seldom.sum(), often.sum()] == pytest.approx([1, 1])


def test_habits_are_of_the_person_and_differ() -> None:
    habits = [habit_of(person) for person in PEOPLE]
    assert habits == [habit_of(person) for person in PEOPLE]
    assert np.std(np.log([habit.smiling for habit in habits])) == pytest.approx(0.5, abs=0.15)
    assert len({habit.lids for habit in habits}) == len(PEOPLE)
    assert max(habit.lids for habit in habits) < 0.22


def test_sides_move_nearly_alike_and_lopsided_faces_do_not() -> None:
    def ratio(habit: Habit) -> float:
        posed_ = [posed(KINDS["smile"], habit, np.random.default_rng(n)) for n in range(300)]
        return float(np.mean([np.log(w["mouthSmile_L"] / w["mouthSmile_R"]) for w in posed_]))

    assert ratio(CALM) == pytest.approx(0, abs=0.03)
    assert ratio(replace(CALM, lopsided=0.15)) == pytest.approx(np.log(1.15 / 0.85), abs=0.05)


@pytest.mark.parametrize("name", KINDS)
def test_muscles_stay_within_their_ranges(name: str) -> None:
    for seed in range(20):
        weights = posed(KINDS[name], CALM, np.random.default_rng(seed))
        for unit, (low, high) in KINDS[name].ranges.items():
            for side in sides(unit):
                assert 0.5 * low <= weights[side] <= 1.6 * high, (name, side)


def test_strength_scales_muscles_and_zero_is_neutral() -> None:
    def drawn(expression: float) -> tuple[str, dict[str, float]]:
        config = replace(CONFIG, expression=expression)
        name, weights = draw_expression(config, PEOPLE[3], np.random.default_rng(12))
        return name, dict(weights)

    (name, whole), (same, half), (neutral, none) = drawn(1.0), drawn(0.5), drawn(0.0)
    assert name == same
    assert set(half) <= set(whole)
    assert sum(half.values()) == pytest.approx(0.5 * sum(whole.values()), rel=0.02)
    assert (neutral, none) == ("neutral", {})


def test_eyes_mostly_look_at_the_camera() -> None:
    gazes = np.array([draw_gaze(12.0, -6.0, np.random.default_rng(n)) for n in range(800)])
    at_camera = np.hypot(*(gazes - [-12.0, 6.0]).T) < 4
    assert at_camera.mean() == pytest.approx(LOOKS_AT_CAMERA, abs=0.06)
    assert np.median(gazes, axis=0) == pytest.approx([-12, 6], abs=0.6)
    assert np.abs(gazes).max() <= EYE_RANGE_DEG


def test_eyes_turn_no_farther_than_eyes_do() -> None:
    far = np.array([draw_gaze(30.0, 0.0, np.random.default_rng(n)) for n in range(200)])
    assert np.median(far[:, 0]) == -EYE_RANGE_DEG
    wide = np.array([draw_gaze(55.0, 0.0, np.random.default_rng(n)) for n in range(200)])
    assert np.median(wide[:, 0]) == pytest.approx(-16.5, abs=1.5)


def test_lids_follow_the_eyes() -> None:
    down = dict(with_gaze((), (0.0, -15.0), 1.0))
    assert down == {"eyeLookDown_L": 0.5, "eyeLookDown_R": 0.5}
    right = dict(with_gaze((("jawOpen", 0.1),), (6.0, 3.0), 1.0))
    assert right == {
        "jawOpen": 0.1, "eyeLookUp_L": 0.1, "eyeLookUp_R": 0.1, "eyeLookOut_L": 0.2,
        "eyeLookIn_R": 0.2,
    }  # fmt: skip
    assert with_gaze((), (9.0, 9.0), 0.0) == ()


def test_the_left_eye_is_at_the_images_right() -> None:
    """So that eyeLookOut_L goes with a gaze to the image's right."""
    model = head_model()
    number = model.expression_names.index("eyeLookOut_L")
    moved = np.linalg.norm(model.expressions_KV3[number], axis=1) > 0.05
    assert model.mean_V3[moved, 0].mean() > 1
