"""What a face does in one image: the 53 expressions of ICT-FaceKit in plausible combinations.

Kinds of expression and their shares follow photographs of the press (about four in ten faces of
LFW smile); each is a range for each muscle, after the action units of FACS (Ekman & Friesen 1978).
A name without _L or _R moves both sides, nearly alike. Lips that are closed stay closed: then the
jaw opens only with mouthClose, which brings the lips back together in ICT's model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.traits import Person

Weights = tuple[tuple[str, float], ...]
Ranges = dict[str, tuple[float, float]]

ASYMMETRY = 0.12
"""Standard deviation of a side's strength, relative to the other's."""
MUSCLE_NOISE = 0.035
NUM_NOISY = 6
NOISY = (
    "browDown", "browInnerUp", "browOuterUp", "cheekSquint", "eyeSquint", "eyeWide", "mouthDimple",
    "mouthFrown", "mouthPress", "mouthSmile", "mouthStretch", "noseSneer",
)  # fmt: skip
"""Muscles that are never quite at rest, and neither open lips nor close eyes."""
LARGEST = 1.0
LID_DEG = 30.0
"""Gaze at which eyeLookDown and its like have their full weight."""
EYE_RANGE_DEG = 20.0
"""How far eyes turn to keep looking at a camera; farther the head follows."""
LOOKS_AT_CAMERA = 0.78
SINGLE = ("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft",
          "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
          "mouthShrugUpper")  # fmt: skip
"""Expressions that have no sides."""


@dataclass(frozen=True)
class Kind:
    """A kind of expression: its share of images, and what the muscles do, lowest and highest."""

    fraction: float
    ranges: Ranges
    open_lips: bool = False
    """Otherwise lips touch, and the jaw opens no farther than mouthClose makes good."""
    smiles: bool = False


KINDS: dict[str, Kind] = {
    "neutral": Kind(0.24, {}),
    "parted_lips": Kind(0.06, {"jawOpen": (0.02, 0.08), "mouthUpperUp": (0, 0.12)}, True),
    "slight_smile": Kind(
        0.17, {"mouthSmile": (0.15, 0.5), "cheekSquint": (0, 0.25), "mouthDimple": (0, 0.2)},
        smiles=True,
    ),
    "smile": Kind(
        0.17, {"mouthSmile": (0.5, 0.85), "cheekSquint": (0.15, 0.6), "eyeSquint": (0, 0.3),
               "mouthUpperUp": (0.15, 0.4), "mouthLowerDown": (0.1, 0.3), "jawOpen": (0.02, 0.07)},
        open_lips=True, smiles=True,
    ),
    "laugh": Kind(
        0.06, {"mouthSmile": (0.65, 0.95), "cheekSquint": (0.4, 0.8), "eyeSquint": (0.2, 0.6),
               "mouthUpperUp": (0.2, 0.45), "mouthLowerDown": (0.15, 0.4), "jawOpen": (0.12, 0.32),
               "noseSneer": (0, 0.2)},
        open_lips=True, smiles=True,
    ),
    "talking_open": Kind(
        0.06, {"jawOpen": (0.08, 0.25), "mouthLowerDown": (0, 0.3), "mouthUpperUp": (0, 0.25),
               "mouthStretch": (0, 0.2), "browInnerUp": (0, 0.3)}, True,
    ),
    "talking_round": Kind(
        0.035, {"mouthFunnel": (0.15, 0.5), "jawOpen": (0.06, 0.2), "mouthPucker": (0, 0.3)}, True
    ),
    "pucker": Kind(0.015, {"mouthPucker": (0.3, 0.7)}),
    "pressed_lips": Kind(
        0.035, {"mouthPress": (0.2, 0.7), "mouthRollLower": (0, 0.25), "mouthRollUpper": (0, 0.2),
                "mouthDimple": (0, 0.3)},
    ),
    "surprise": Kind(
        0.015, {"browInnerUp": (0.4, 0.9), "browOuterUp": (0.4, 0.9), "eyeWide": (0.3, 0.8),
                "jawOpen": (0.1, 0.35)}, True,
    ),
    "raised_brows": Kind(0.03, {"browInnerUp": (0.3, 0.7), "browOuterUp": (0.3, 0.7)}),
    "frown": Kind(
        0.05, {"browDown": (0.3, 0.8), "eyeSquint": (0, 0.3), "mouthPress": (0, 0.3),
               "mouthFrown": (0, 0.3)},
    ),
    "anger": Kind(
        0.01, {"browDown": (0.5, 1.0), "noseSneer": (0.05, 0.25), "mouthPress": (0.3, 0.6),
               "eyeSquint": (0.1, 0.4), "mouthFrown": (0.1, 0.4)},
    ),
    "sad": Kind(
        0.015, {"browInnerUp": (0.3, 0.8), "mouthFrown": (0.3, 0.7), "mouthShrugLower": (0, 0.35)},
    ),
    "disgust": Kind(
        0.005, {"noseSneer": (0.4, 0.8), "browDown": (0.2, 0.5), "mouthUpperUp": (0.1, 0.3),
                "mouthFrown": (0.1, 0.3)}, True,
    ),
    "squint": Kind(
        0.03, {"eyeSquint": (0.4, 0.9), "cheekSquint": (0.1, 0.5), "browDown": (0, 0.4)}
    ),
}  # fmt: skip
"""Shares sum to 1; a person's own habit (`Habit`) makes those that smile more or less frequent."""
BLINK_FRACTION, HALF_CLOSED_FRACTION = 0.015, 0.03
"""Photographers throw most of these away."""


@dataclass(frozen=True)
class Habit:
    """How somebody's face usually is, in all images."""

    smiling: float
    """Smiles are this many times as frequent as among all people."""
    strength: float
    """Of all expressions."""
    lopsided: float
    """Stronger on the subject's left (above 0) or right side."""
    lids: float = 0.0
    """How far the eyes are closed at rest: ICT's neutral face has them wide open."""


def habit_of(person: Person) -> Habit:
    """A person's habit, from the person's own seed."""
    rng = np.random.default_rng([person.seed, 71])
    return Habit(
        smiling=float(np.exp(0.5 * rng.standard_normal())),
        strength=float(np.exp(0.15 * rng.standard_normal())),
        lopsided=float(np.clip(0.08 * rng.standard_normal(), -0.2, 0.2)),
        lids=float(0.22 * rng.beta(2, 2)),
    )


def draw_expression(
    config: RenderingConfig, person: Person, rng: np.random.Generator
) -> tuple[str, Weights]:
    """Name of a kind, and weights of the model's expressions in [0, 1], strongest as drawn.

    With config.expression = 0 the face is neutral; the same numbers are drawn at any strength.
    """
    habit = habit_of(person)
    name = list(KINDS)[int(rng.choice(len(KINDS), p=fractions(habit)))]
    kind = KINDS[name]
    weights = posed(kind, habit, rng)
    eyes, closing = lids(habit, rng)
    weights |= closing
    for unit in rng.choice(NOISY, NUM_NOISY, replace=False):
        for side in sides(str(unit)):
            weight = MUSCLE_NOISE * abs(float(rng.standard_normal()))
            weights[side] = weights.get(side, 0.0) + weight
    if config.expression == 0:
        return "neutral", ()
    scaled = {unit: min(weight * config.expression, LARGEST) for unit, weight in weights.items()}
    whole = f"{name}_{eyes}" if eyes else name
    return whole, tuple(sorted(plausible(scaled, kind.open_lips).items()))


def fractions(habit: Habit) -> np.ndarray:
    """How frequent each of KINDS is for somebody."""
    parts = np.array([k.fraction * (habit.smiling if k.smiles else 1) for k in KINDS.values()])
    return np.asarray(parts / parts.sum())


def posed(kind: Kind, habit: Habit, rng: np.random.Generator) -> dict[str, float]:
    """Weights of a kind of expression: the muscles mostly rise together, sides nearly alike."""
    together = float(rng.beta(1.6, 1.6))
    weights: dict[str, float] = {}
    for unit, (low, high) in kind.ranges.items():
        level = np.clip(together + 0.2 * rng.standard_normal(), 0, 1)
        weight = (low + (high - low) * level) * habit.strength
        for side in sides(unit):
            aside = habit.lopsided * (1 if side.endswith("_L") else -1) if side != unit else 0.0
            uneven = 1 + aside + ASYMMETRY * float(rng.standard_normal()) * (side != unit)
            weights[side] = float(np.clip(weight * uneven, 0, LARGEST))
    return weights


def lids(habit: Habit, rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """Weights of eyeBlink, and a name where eyes happen to be closed or half closed."""
    which, amount = rng.random(), rng.random()
    if which < BLINK_FRACTION:
        weight, name = 0.85 + 0.15 * amount, "eyes_closed"
    elif which < BLINK_FRACTION + HALF_CLOSED_FRACTION:
        weight, name = 0.3 + 0.3 * amount, "eyes_half_closed"
    else:
        weight, name = habit.lids * (0.7 + 0.6 * amount), ""
    return name, {"eyeBlink_L": weight, "eyeBlink_R": weight}


def plausible(weights: dict[str, float], open_lips: bool) -> dict[str, float]:
    """Weights without contradictions.

    Closed lips: mouthClose equals jawOpen. Open lips: no mouthClose, press or roll. Eyes that close
    are not wide, and squint less.
    """
    kept = dict(weights)
    if open_lips:
        for unit in ("mouthClose", "mouthRollLower", "mouthRollUpper", *sides("mouthPress")):
            kept.pop(unit, None)
    elif "jawOpen" in kept:
        kept["mouthClose"] = kept["jawOpen"]
    for side in ("L", "R"):
        open_part = 1 - kept.get(f"eyeBlink_{side}", 0.0)
        for unit in (f"eyeWide_{side}", f"eyeSquint_{side}"):
            if unit in kept:
                kept[unit] *= open_part
    rounded = {unit: round(weight, 4) for unit, weight in kept.items()}
    return {unit: weight for unit, weight in rounded.items() if weight > 0}


def sides(unit: str) -> tuple[str, ...]:
    """Names of the model's expressions that a muscle has."""
    return (unit,) if unit in SINGLE else (f"{unit}_L", f"{unit}_R")


def draw_gaze(yaw_deg: float, pitch_deg: float, rng: np.random.Generator) -> tuple[float, float]:
    """Where eyes look, degrees to the image's right and up relative to the head's own direction.

    Mostly at the camera, which a head of that yaw and pitch sees at (-yaw, -pitch), as far as eyes
    turn; else somewhere, more aside than up.
    """
    at_camera = rng.random() < LOOKS_AT_CAMERA
    unsteady, aside = 1.2 * rng.standard_normal(2), rng.standard_normal(2) * [11.0, 6.0]
    back = np.array([-yaw_deg, -pitch_deg])
    if float(np.abs(back).max()) > 2 * EYE_RANGE_DEG:  # nobody looks that far out of the corner
        back = back * 0.3
    across, up = (back + unsteady) if at_camera else (aside + 0.15 * back)
    limited = np.clip([across, up], -EYE_RANGE_DEG, EYE_RANGE_DEG)
    return float(limited[0]), float(limited[1])


def with_gaze(weights: Weights, gaze: tuple[float, float], strength: float) -> Weights:
    """The same expression with lids that follow the eyes: eyeLookDown and its like.

    In ICT's model they move lids and not eyeballs; the left eye is at the image's right.
    """
    across, up = (float(np.clip(angle / LID_DEG, -1, 1)) * strength for angle in gaze)
    follow = {
        "eyeLookUp": (up, up),
        "eyeLookDown": (-up, -up),
        "eyeLookOut": (across, -across),
        "eyeLookIn": (-across, across),
    }
    named = dict(weights)
    for unit, (left, right) in follow.items():
        for side, weight in zip(sides(unit), (left, right), strict=True):
            if weight > 0:
                named[side] = round(min(weight, LARGEST), 4)
    return tuple(sorted(named.items()))
