"""Who a rendered person is: all traits from a number.

The group is due by quota (groups.py); age, presentation and descent are drawn within it, and the
rest follows from these with a wide spread. Each kind of trait has a stream of random numbers of its
own, so that none depends on how many another one took.
"""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.people import colors, grooming
from factory.rendering.people.groups import MELANIN, group_of, presentation_of, tone_of
from factory.rendering.people.measures import shape_of
from factory.rendering.people.populations import Descent, drawn, drawn_descent
from factory.rendering.traits import Color, EyeTraits, Person, SkinTraits
from factory.seeds import stream_seed

MASCULINE = {
    "face_width": 0.15, "jaw_width": 0.28, "chin_width": 0.18, "chin_height": 0.16,
    "chin_depth": 0.1, "nose_length": 0.08, "nose_width": 0.1, "nose_bridge": 0.08,
    "brow_depth": 0.2, "brow_height": -0.15, "lip_height": -0.1, "eye_opening": -0.05,
    "mouth_width": 0.08, "philtrum": 0.07,
}  # fmt: skip
"""What sets a man's face apart from the mean of both, and a woman's with the opposite sign."""
DECADE = {
    "nose_length": 0.06, "nose_lift": -0.03, "nose_width": 0.03, "philtrum": 0.05,
    "lip_height": -0.08, "brow_height": -0.03, "eye_opening": -0.03, "jaw_width": 0.05,
    "mouth_width": 0.03,
}  # fmt: skip
"""What ten years do to a face after 25 (Farkas 1994; noses droop, lips thin, jowls widen)."""
AGES = (18.0, 75.0)
SPREAD = np.repeat([1.15, 1.4, 1.15], [10, 40, 50])
"""Standard deviation of a person's own shape [100], in that of ICT-FaceKit's scans.

It is above 1 because the scans' 100 components lack what is finer in faces. A recognizer sees the
middle ones most, and larger first ones (size, length, breadth) are the first to look odd.
"""
FARTHEST = 3.5
"""No coefficient is beyond it, because the model was not made for such heads."""
SHAPE, SKIN, EYES, HAIR, BROWS, BEARD, GLASSES, DESCENT = range(8)
"""Streams of random numbers."""


def draw_person(config: RenderingConfig, index: int) -> Person:
    """The person with a number, whoever else is drawn."""
    seed = stream_seed("person", config.seed, index)
    group = group_of(config, index)
    tone, presentation = tone_of(group), presentation_of(group)
    streams = [np.random.default_rng([seed, stream]) for stream in range(8)]
    age, descent = drawn_age(streams[DESCENT]), drawn_descent(tone, streams[DESCENT])
    masculine = drawn_presentation(presentation, streams[DESCENT])
    melanin = float(streams[SKIN].uniform(*MELANIN[tone]))
    gray = grooming.gray_fraction(age, streams[DESCENT])
    hair, natural = grooming.drawn_hair(age, presentation, descent, gray, streams[HAIR])
    glasses = grooming.wears_glasses(config.glasses_fraction, age, streams[GLASSES])
    return Person(
        index=index,
        seed=seed,
        group=group,
        age=age,
        presentation=masculine,
        shape=drawn_shape(age, masculine, descent, streams[SHAPE]),
        skin=drawn_skin(age, presentation, melanin, natural, streams[SKIN]),
        eyes=drawn_eyes(age, presentation, descent, streams[EYES]),
        hair=hair,
        brows=grooming.drawn_brows(age, presentation, natural, gray, streams[BROWS]),
        beard=grooming.drawn_beard(age, presentation, natural, gray, descent.beard, streams[BEARD]),
        glasses=grooming.drawn_glasses(presentation, streams[GLASSES]) if glasses else None,
    )


def drawn_age(rng: np.random.Generator) -> float:
    """Years between AGES, 41 in the mean: adults in photographs are rarely very old."""
    low, high = AGES
    return float(low + (high - low) * rng.beta(1.4, 2.08))


def drawn_presentation(presentation: str, rng: np.random.Generator) -> float:
    """0 to 1; a group's people are on its side of the middle, few of them at its end."""
    away = float(0.5 * rng.beta(2.0, 1.2))
    return 0.5 + away if presentation == "masculine" else 0.5 - away


def drawn_shape(
    age: float, masculine: float, descent: Descent, rng: np.random.Generator
) -> tuple[float, ...]:
    """Coefficients [100]: the face that age, presentation and descent suggest, and one's own."""
    differences = dict(descent.measures)
    for table, amount in ((MASCULINE, 1.4 * (2 * masculine - 1)), (DECADE, decades(age))):
        for name, difference in table.items():
            differences[name] = differences.get(name, 0.0) + amount * difference
    own = SPREAD * rng.standard_normal(100)
    shape = np.clip(shape_of(differences) + own, -FARTHEST, FARTHEST)
    return tuple(float(c) for c in shape.round(6))  # the same where matrix products differ by bits


def decades(age: float) -> float:
    """Tens of years in which DECADE was at work."""
    return max(0.0, (age - 25) / 10)


def aged_shape(person: Person, years: float) -> tuple[float, ...]:
    """A person's shape `years` after (before) the person's age: View.age_drift."""
    if not years:
        return person.shape
    amount = decades(person.age + years) - decades(person.age)
    moved = shape_of({name: amount * difference for name, difference in DECADE.items()})
    return tuple(float(c) for c in (np.array(person.shape) + moved).round(6))


def drawn_skin(
    age: float, presentation: str, melanin: float, hair: Color, rng: np.random.Generator
) -> SkinTraits:
    """Pigment, relief and marks; light skin freckles (with red hair most) and wrinkles sooner."""
    pale, young = 1 - melanin, np.clip((30 - age) / 12, 0, 1)
    red_haired = hair[0] > 2.5 * hair[1]
    freckled = rng.random() < (0.75 if red_haired else 0.3) * (melanin < 0.3)
    creased = np.clip((age - 24) / 45, 0, 1) ** 1.2 * (1 - 0.35 * melanin)
    lips = colors.varied(colors.between(*colors.LIPS, melanin), 0.12, rng)
    strength = float(rng.uniform(0.35, 0.8))
    if presentation == "feminine" and rng.random() < 0.35:
        lips = colors.varied(colors.LIPSTICKS[int(rng.integers(len(colors.LIPSTICKS)))], 0.15, rng)
        strength = float(rng.uniform(0.75, 1.0))
    return SkinTraits(
        melanin=melanin,
        haemoglobin=float(np.clip(rng.beta(4, 4.5) + 0.002 * (age - 41), 0.05, 0.95)),
        freckles=float(freckled * rng.uniform(0.2, 1.0)),
        num_moles=int(rng.poisson(1.5 + 3 * pale * rng.random())),
        wrinkles=float(np.clip(creased * np.exp(0.3 * rng.standard_normal()), 0, 1)),
        pores=float(np.clip(rng.normal(0.35, 0.12), 0.05, 0.8)),
        oil=float(np.clip(rng.beta(2.5, 4) + 0.1 * young, 0, 1)),
        blemishes=float(np.clip(rng.beta(1.2, 5) + 0.5 * young * rng.random(), 0, 1)),
        num_scars=int(rng.poisson(0.15)),
        lip_color=lips,
        lip_strength=strength,
    )


def drawn_eyes(
    age: float, presentation: str, descent: Descent, rng: np.random.Generator
) -> EyeTraits:
    """Irises (11.7 mm across in adults, +-.5), pupils that narrow with age, lashes."""
    iris, inner = colors.IRISES[drawn(descent.eyes, rng)]
    feminine = presentation == "feminine"
    made_up = feminine and rng.random() < 0.45
    return EyeTraits(
        iris_color=colors.varied(iris, 0.15, rng),
        inner_color=colors.varied(inner, 0.15, rng),
        limbal_ring=float(np.clip(rng.normal(0.55, 0.2) - 0.005 * (age - 41), 0.05, 1)),
        iris_radius=float(np.clip(rng.normal(0.585, 0.02), 0.53, 0.64)),
        pupil_radius=float(np.clip(rng.normal(0.23 - 0.0015 * (age - 41), 0.035), 0.12, 0.33)),
        sclera_redness=float(np.clip(rng.beta(2, 8) + 0.002 * (age - 41), 0, 1)),
        lash_length=float(np.clip(rng.normal(0.8 if feminine else 0.65, 0.12), 0.3, 1.2)),
        makeup=float(rng.uniform(0.2, 1.0)) if made_up else 0.0,
    )
