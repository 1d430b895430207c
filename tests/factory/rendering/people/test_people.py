"""People: all from seed and number, with traits that go together as they do in people."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.head.head import head_model
from factory.rendering.people import colors, grooming
from factory.rendering.people.groups import MELANIN, presentation_of, tone_of
from factory.rendering.people.measures import MEASURES, effects, measured, shape_of
from factory.rendering.people.people import (
    DECADE,
    SPREAD,
    aged_shape,
    draw_person,
    drawn_descent,
    drawn_shape,
)
from factory.rendering.people.populations import BY_TONE, POPULATIONS, Descent, drawn

NUM = 720
GLASSES = {"round", "square", "rectangle", "aviator", "cat_eye", "rimless"}
BEARDS = {"none", "stubble", "moustache", "goatee", "short_full", "full"}


@pytest.fixture(scope="module")
def people():
    return [draw_person(RenderingConfig(), index) for index in range(NUM)]


def feminine(people):
    return [p for p in people if p.presentation < 0.5]


def masculine(people):
    return [p for p in people if p.presentation > 0.5]


def leaves(value):
    if dataclasses.is_dataclass(value):
        return [leaf for f in dataclasses.fields(value) for leaf in leaves(getattr(value, f.name))]
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_a_person_is_the_same_whoever_else_is_drawn(people):
    config = RenderingConfig()
    assert draw_person(config, 500) == people[500]
    assert draw_person(config, 3) == people[3]
    other = draw_person(RenderingConfig(seed=1), 3)
    assert other.shape != people[3].shape
    assert len({p.seed for p in people}) == NUM
    image_settings = RenderingConfig(yaw_std_deg=1.0, light="studio", hat_fraction=0.5)
    assert draw_person(image_settings, 3) == people[3]


def test_traits_are_plain_numbers_in_their_ranges(people):
    for person in people:
        assert all(isinstance(leaf, (float, int, str, type(None))) for leaf in leaves(person))
        assert all(np.isfinite(leaf) for leaf in leaves(person) if isinstance(leaf, float))
        assert len(person.shape) == 100
        assert max(abs(c) for c in person.shape) <= 3.5
        assert sum(abs(c) for c in person.shape) < 200  # what test_assets bounds the error for
        assert 18 <= person.age <= 75
        for traits in (person.skin, person.hair, person.brows, person.beard):
            color = getattr(traits, "color", (0.5, 0.5, 0.5))
            assert all(0 < channel < 1 for channel in color)
        amounts = [person.skin.freckles, person.skin.wrinkles, person.skin.oil, person.hair.curl,
                   person.hair.gray_fraction, person.hair.recession, person.brows.arch,
                   person.eyes.makeup, person.beard.shadow, person.skin.blemishes]  # fmt: skip
        assert 0 <= min(amounts) <= max(amounts) <= 1
        assert person.hair.style in grooming.STYLES
        low, high = grooming.STYLES[person.hair.style]
        assert low <= person.hair.length <= high
        assert person.eyes.pupil_radius < 0.6 * person.eyes.iris_radius


def test_melanin_and_presentation_are_the_groups(people):
    for person in people:
        low, high = MELANIN[tone_of(person.group)]
        assert low <= person.skin.melanin <= high
        assert (person.presentation > 0.5) == (presentation_of(person.group) == "masculine")


def test_ages_are_those_of_adults_in_photographs(people):
    ages = np.array([p.age for p in people])
    assert ages.mean() == pytest.approx(grooming.MEAN_AGE, abs=1.5)
    assert np.percentile(ages, 5) < 25
    assert np.percentile(ages, 95) > 61
    assert (ages > 70).mean() < 0.04


def test_all_names_are_drawn_and_no_others(people):
    assert {p.hair.style for p in people} == set(grooming.STYLES)
    assert len(grooming.STYLES) >= 12
    assert {p.beard.style for p in people} == BEARDS
    assert {p.glasses.shape for p in people if p.glasses} == GLASSES


def test_beards_and_bald_heads_are_mens(people):
    women, men = feminine(people), masculine(people)
    assert all(p.beard.style == "none" and p.beard.shadow == 0 for p in women)
    assert not {"bald", "receding_short", "shaved"} & {p.hair.style for p in women}
    bearded = np.mean([p.beard.style != "none" for p in men])
    assert 0.3 < bearded < 0.6
    old = [p.hair.recession for p in men if p.age > 55]
    young = [p.hair.recession for p in men if p.age < 30]
    assert np.mean(old) > 3 * np.mean(young)
    assert max(p.hair.recession for p in women) <= 0.15
    length = {n: np.median([p.hair.length for p in group]) for n, group in
              (("women", women), ("men", men))}  # fmt: skip
    assert length["women"] > 3 * length["men"]


def test_a_fringe_is_worn_by_some_whose_hair_is_long_enough(people):
    fringed = [p for p in people if p.hair.fringe > 0]
    assert {p.hair.style for p in fringed} <= grooming.WITH_FRINGE
    assert 0.4 <= min(p.hair.fringe for p in fringed) <= max(p.hair.fringe for p in fringed) <= 1
    could = [p for p in feminine(people) if p.hair.style in grooming.WITH_FRINGE]
    assert np.mean([p.hair.fringe > 0 for p in could]) == pytest.approx(0.28, abs=0.1)


def test_the_old_are_gray_and_wrinkled(people):
    """Half of those who do not color it have half of their hair gray at 56."""
    men = masculine(people)
    assert np.mean([p.hair.gray_fraction > 0.5 for p in men if p.age > 64]) > 0.7
    assert np.mean([p.hair.gray_fraction > 0.5 for p in men if p.age < 40]) < 0.05
    correlation = np.corrcoef([p.age for p in people], [p.skin.wrinkles for p in people])[0, 1]
    assert correlation > 0.7
    gray = [p.hair.gray_fraction for p in men if p.age > 50 and p.beard.style != "none"]
    beard = [p.beard.color[0] for p in men if p.age > 50 and p.beard.style != "none"]
    assert np.corrcoef(gray, beard)[0, 1] > 0.6  # the beard grays with the head


def test_light_eyes_hair_and_freckles_go_with_light_skin(people):
    by_tone = {tone: [p for p in people if tone_of(p.group) == tone] for tone in MELANIN}
    blue = {
        t: np.mean([p.eyes.iris_color[2] > p.eyes.iris_color[0] for p in by_tone[t]])
        for t in MELANIN
    }
    assert blue["tone1"] > 0.35
    assert blue["tone1"] > blue["tone2"] > blue["tone3"] >= blue["tone4"]
    assert blue["tone5"] == blue["tone6"] == 0
    curl = {t: np.mean([p.hair.curl for p in by_tone[t]]) for t in MELANIN}
    assert curl["tone6"] > 0.65 > curl["tone5"] > curl["tone4"]
    freckled = {t: np.mean([p.skin.freckles > 0 for p in by_tone[t]]) for t in MELANIN}
    assert freckled["tone1"] > 0.2
    assert freckled["tone4"] == freckled["tone6"] == 0
    lips = [np.mean([p.skin.lip_color[0] for p in masculine(by_tone[t])]) for t in MELANIN]
    assert all(one > two for one, two in pairwise(lips))


@pytest.mark.parametrize("fraction", [0.0, 0.15, 0.5, 1.0])
def test_as_many_wear_glasses_as_the_config_says(fraction):
    config = RenderingConfig(glasses_fraction=fraction)
    people = [draw_person(config, index) for index in range(400)]
    wearing = np.array([p.glasses is not None for p in people])
    assert wearing.mean() == pytest.approx(fraction, abs=0.055 * (0 < fraction < 1))
    if 0 < fraction < 1:
        ages = np.array([p.age for p in people])
        assert wearing[ages > 50].mean() > wearing[ages < 35].mean()
    default = [draw_person(RenderingConfig(), index) for index in range(5)]
    assert [p.shape for p in people[:5]] == [p.shape for p in default]


def test_measures_of_the_mean_face_are_a_faces():
    model = head_model()
    values = measured(model.mean_V3[model.landmarks_68])
    bounds = {"face_width": (13, 16), "jaw_width": (10, 13), "nose_length": (4, 6),
              "nose_width": (2.2, 4), "mouth_width": (4.5, 6), "eye_opening": (0.6, 1.2),
              "eye_distance": (2.8, 4), "nose_bridge": (1, 2.5)}  # fmt: skip
    assert all(low < values[name] < high for name, (low, high) in bounds.items())


def test_measures_are_linear_in_the_shape():
    model = head_model()
    change = effects(model)
    assert change.shape == (len(MEASURES), 100)
    shape = np.random.default_rng(0).standard_normal(100)
    before = measured(model.mean_V3[model.landmarks_68])
    after = measured(model.shaped(tuple(shape), ()).landmarks_68x3)
    found = [after[name] - before[name] for name in MEASURES]
    assert np.allclose(found, change @ shape, atol=1e-4)


@pytest.mark.parametrize(
    "wanted",
    [{"nose_width": 0.4}, {"jaw_width": -0.5, "lip_height": 0.3}, {"brow_depth": 0.2}],
    ids=lambda wanted: next(iter(wanted)),
)
def test_a_shape_has_the_measures_that_were_asked_for(wanted):
    """To the tolerance; measures that were not named stay, and no smaller shape does as well."""
    change = effects(head_model())
    shape = shape_of(wanted)
    found = dict(zip(MEASURES, change @ shape, strict=True))
    assert all(abs(found[name] - wanted.get(name, 0.0)) < 0.1 for name in MEASURES)
    assert all(found[name] / wanted[name] > 0.7 for name in wanted)
    target = np.array([wanted.get(name, 0.0) for name in MEASURES])

    def cost(c):
        return np.square(c).sum() + np.square((change @ c - target) / 0.05).sum()

    rng = np.random.default_rng(1)
    assert all(cost(shape) < cost(shape + 0.01 * rng.standard_normal(100)) for _ in range(50))
    with pytest.raises(KeyError, match="nose_color"):
        shape_of({"nose_color": 1.0})


def mean_measures(people):
    model = head_model()
    shape = np.mean([p.shape for p in people], 0)
    return measured(model.shaped(tuple(shape), ()).landmarks_68x3)


def test_faces_differ_by_presentation_age_and_descent(people):
    women, men = mean_measures(feminine(people)), mean_measures(masculine(people))
    assert men["jaw_width"] - women["jaw_width"] > 0.2
    assert men["brow_depth"] - women["brow_depth"] > 0.1
    assert men["brow_height"] < women["brow_height"]
    old = mean_measures([p for p in people if p.age > 60])
    young = mean_measures([p for p in people if p.age < 28])
    assert old["nose_length"] > young["nose_length"]
    assert old["lip_height"] < young["lip_height"] - 0.05
    dark = mean_measures([p for p in people if tone_of(p.group) == "tone6"])
    light = mean_measures([p for p in people if tone_of(p.group) == "tone1"])
    assert dark["nose_width"] > light["nose_width"] + 0.3
    assert dark["lip_height"] > light["lip_height"] + 0.3


def test_a_person_ages_as_people_do(people):
    model = head_model()

    def nose(shape):
        return measured(model.shaped(shape, ()).landmarks_68x3)["nose_length"]

    person = next(p for p in people if p.age > 40)
    assert aged_shape(person, 0.0) is person.shape
    older, younger = aged_shape(person, 10.0), aged_shape(person, -10.0)
    assert nose(older) > nose(person.shape) > nose(younger)
    assert nose(older) - nose(person.shape) == pytest.approx(DECADE["nose_length"], rel=0.3)
    assert np.allclose(np.add(older, younger), np.multiply(2, person.shape), atol=1e-5)
    child = next(p for p in people if p.age < 22)
    assert aged_shape(child, 3.0) == child.shape  # noses do not droop before 25


def test_within_a_group_everybody_has_a_face_of_their_own(people):
    """All 100 components keep most of the variance of the scans, and no two people are near."""
    group = np.array([p.shape for p in people if p.group == "tone3_feminine"])
    ratio = np.std(group, 0) / SPREAD
    assert ratio.mean() == pytest.approx(1, abs=0.08)
    assert ratio.min() > 0.7
    apart = np.linalg.norm(group[:, None] - group[None], axis=2) + 99 * np.eye(len(group))
    assert apart.min() > 12  # of about 18 in the mean


def test_presentation_of_a_face_follows_the_number():
    flat = Descent({}, (0.0, 0.0), {"black": 1.0}, {"brown": 1.0}, 1.0)
    shapes = [drawn_shape(25.0, m, flat, np.random.default_rng(4)) for m in (0.0, 0.5, 1.0)]
    model = head_model()
    jaws = [measured(model.shaped(s, ()).landmarks_68x3)["jaw_width"] for s in shapes]
    assert jaws[0] < jaws[1] < jaws[2]


def test_populations_are_whole_tables():
    for name, population in POPULATIONS.items():
        assert set(population.measures) <= set(MEASURES), name
        assert set(population.hair) <= set(colors.HAIR)
        assert set(population.eyes) <= set(colors.IRISES)
        assert sum(population.hair.values()) == pytest.approx(1)
        assert sum(population.eyes.values()) == pytest.approx(1)
    assert set(BY_TONE) == set(MELANIN)
    for shares in BY_TONE.values():
        assert set(shares) <= set(POPULATIONS)
        assert sum(shares.values()) == pytest.approx(1)
    for dyes in (colors.DYES_OF_DARK, colors.DYES_OF_LIGHT):
        assert set(dyes) <= set(colors.HAIR)
        assert sum(dyes.values()) == pytest.approx(1)
    for shares in grooming.STYLE_SHARES.values():
        assert set(shares) <= set(grooming.STYLES)
    assert set(grooming.BEARD_SHARES) == set(grooming.BEARD_LENGTHS) == BEARDS


def test_a_descent_lies_between_two_populations():
    rng = np.random.default_rng(0)
    for _ in range(30):
        descent = drawn_descent("tone5", rng)
        assert 0 <= descent.curl[0] <= descent.curl[1] <= 1
        assert sum(descent.hair.values()) == pytest.approx(1)
        assert -0.301 < descent.measures["nose_bridge"] < 0.081


def test_names_are_drawn_by_their_shares():
    rng = np.random.default_rng(1)
    counts = Counter(drawn({"a": 3.0, "b": 1.0, "c": 0.0}, rng) for _ in range(4000))
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert not counts["c"]


def test_colors_mix_and_vary():
    red = colors.HAIR["red"]
    assert colors.between(red, (0.5, 0.5, 0.5), 0.0) == pytest.approx(red)
    assert colors.between(red, (0.5, 0.5, 0.5), 1.0) == pytest.approx((0.5, 0.5, 0.5))
    middle = colors.between((0.04,) * 3, (0.16,) * 3, 0.5)
    assert middle == pytest.approx((0.08,) * 3)  # the geometric mean
    rng = np.random.default_rng(2)
    many = np.array([colors.varied(red, 0.1, rng) for _ in range(500)])
    assert np.median(many, 0) == pytest.approx(red, rel=0.03)
    assert np.std(np.log(many[:, 0])) == pytest.approx(0.1, rel=0.15)


def test_dark_hair_is_rarely_bleached():
    dark = [draw_person(RenderingConfig(groups={"tone6_feminine": 1.0}), n) for n in range(300)]
    blond = [one for one in dark if one.hair.color[0] > 0.25]
    assert len(blond) < 0.05 * len(dark)
