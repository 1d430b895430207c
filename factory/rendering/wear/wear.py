"""What somebody wears in one image, by the fractions of the config and the person's habits."""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.traits import Color, Person
from factory.rendering.view import Wear

GLASSES_WORN = 0.85
"""Of the images of people who have glasses, those without sunglasses."""
HEADSCARF_SHARE = 0.04
"""Of feminine people those who wear one habitually; at most half of hat_fraction."""
HABIT_WORN = 0.97
_PLAIN = ((0.01, 0.01, 0.012), (0.02, 0.03, 0.07), (0.08, 0.08, 0.09), (0.25, 0.25, 0.26),
          (0.7, 0.7, 0.69), (0.55, 0.52, 0.46), (0.12, 0.07, 0.04), (0.25, 0.33, 0.45))  # fmt: skip
_BRIGHT = ((0.45, 0.03, 0.04), (0.03, 0.1, 0.4), (0.04, 0.2, 0.08), (0.6, 0.35, 0.05),
           (0.4, 0.1, 0.2), (0.25, 0.08, 0.35), (0.05, 0.3, 0.35), (0.6, 0.4, 0.42))  # fmt: skip
_CLOTHES = {
    "crew_neck": (0.20, 0.20), "v_neck": (0.18, 0.06), "shirt_collar": (0.08, 0.22),
    "polo": (0.03, 0.09), "turtleneck": (0.10, 0.05), "hoodie": (0.07, 0.09),
    "blazer": (0.10, 0.26), "blouse": (0.17, 0.0), "tank": (0.07, 0.03),
}  # fmt: skip
"""Shares among feminine and masculine people."""
_HATS = {
    "cap": (0.2, 0.42), "beanie": (0.24, 0.26), "brimmed": (0.26, 0.18), "hood": (0.1, 0.1),
    "headband": (0.12, 0.04), "headscarf": (0.08, 0.0),
}  # fmt: skip
_SUNGLASSES = ("round", "square", "rectangle", "aviator", "cat_eye")
_MASKS = {"surgical": 0.6, "ffp": 0.2, "cloth": 0.2}
_HANDS = {"chin": 0.35, "cheek": 0.25, "mouth": 0.15, "glasses": 0.1, "phone": 0.15}
_HIGH_HAIR = ("bun", "afro", "topknot", "updo", "mohawk")
"""Parts of the names of hair styles over which no crowned hat fits."""


def draw_wear(config: RenderingConfig, person: Person, rng: np.random.Generator) -> Wear:
    """What the person wears in one image.

    Each fraction of the config holds by itself; what excludes one another is settled by kinds, so
    that exclusions do not lower a fraction: with a mask a scarf lies below the chin.
    """
    chances = rng.random(6)  # drawn at once, so that one fraction does not move another's images
    habitual = habitual_headscarf(config, person)
    sunglasses = bool(chances[0] < config.sunglasses_fraction)
    mask = bool(chances[1] < config.mask_fraction)
    scarf = bool(chances[2] < config.scarf_fraction)
    hand = bool(chances[3] < config.hand_fraction)
    glasses = person.glasses is not None and not sunglasses and chances[4] < GLASSES_WORN
    hat = bool(chances[5] < (HABIT_WORN if habitual else _other_hats(config, person)))
    clothes, hat_kind = _by_presentation(_CLOTHES, person, rng), _hat_kind(person, rng)
    hand_kind = _pick(_HANDS, rng)
    if hand_kind == "glasses" and not (glasses or sunglasses):
        hand_kind = "cheek"
    if mask and hand_kind == "mouth":
        hand_kind = "chin"
    over_chin = rng.random() < 0.4 and not mask and not hand
    sunglasses_kind, mask_kind = str(rng.choice(_SUNGLASSES)), _pick(_MASKS, rng)
    return Wear(
        glasses=bool(glasses),
        sunglasses=sunglasses_kind if sunglasses else None,
        hat=("headscarf" if habitual else hat_kind) if hat else None,
        mask=mask_kind if mask else None,
        scarf=("chin" if over_chin else "neck") if scarf else None,
        hand=hand_kind if hand else None,
        clothes=clothes,
        clothes_color=_color(rng, 0.35),
        hat_color=_color(rng, 0.35),
        seed=int(rng.integers(2**31)),
    )


def habitual_headscarf(config: RenderingConfig, person: Person) -> bool:
    """Whether a person wears a headscarf in nearly all images."""
    return bool(np.random.default_rng([person.seed, 38]).random() < _habit_share(config, person))


def _habit_share(config: RenderingConfig, person: Person) -> float:
    feminine = person.presentation < 0.5
    return min(HEADSCARF_SHARE, config.hat_fraction / 2) if feminine else 0.0


def _other_hats(config: RenderingConfig, person: Person) -> float:
    """The share of hats without the habit, by which hat_fraction holds among all people."""
    habit = _habit_share(config, person)
    return (config.hat_fraction - habit * HABIT_WORN) / (1 - habit)


def _hat_kind(person: Person, rng: np.random.Generator) -> str:
    kind = _by_presentation(_HATS, person, rng)
    high = any(name in person.hair.style for name in _HIGH_HAIR)
    return "headband" if high and kind in ("cap", "brimmed", "beanie") else kind


def _by_presentation(
    shares: dict[str, tuple[float, float]], person: Person, rng: np.random.Generator
) -> str:
    masculine = int(person.presentation >= 0.5)
    return _pick({kind: share[masculine] for kind, share in shares.items()}, rng)


def _pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _color(rng: np.random.Generator, bright: float) -> Color:
    """A color of cloth: black, blue and gray mostly; `bright` of them are none of these."""
    palette = _BRIGHT if rng.random() < bright else _PLAIN
    color = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.6, 1.4)
    red, green, blue = np.clip(color * (1 + 0.1 * rng.standard_normal(3)), 0.005, 0.85)
    return float(red), float(green), float(blue)
