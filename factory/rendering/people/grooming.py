"""How people wear their hair, beards and glasses, by age and presentation."""

from __future__ import annotations

import numpy as np

from factory.rendering.people import colors
from factory.rendering.people.populations import Descent, drawn
from factory.rendering.traits import (
    BeardTraits,
    BrowTraits,
    Color,
    GlassesTraits,
    HairTraits,
)

STYLES: dict[str, tuple[float, float]] = {
    "shaved": (0.1, 0.25), "buzz": (0.4, 0.9), "crew": (1.5, 3.0), "short_side_part": (4.0, 7.0),
    "short_textured": (3.0, 6.0), "quiff": (5.0, 8.0), "bob": (14.0, 20.0),
    "medium_straight": (20.0, 30.0), "long_straight": (35.0, 50.0), "long_wavy": (30.0, 45.0),
    "curly_medium": (8.0, 18.0), "afro": (5.0, 12.0), "ponytail": (30.0, 40.0),
    "bun": (30.0, 40.0), "receding_short": (1.0, 4.0), "bald": (0.8, 2.5),
}  # fmt: skip
"""Names of hair_styles.STYLES, and how long the longest hair then is, centimeters."""
STYLE_SHARES: dict[tuple[str, str], dict[str, float]] = {
    ("masculine", "straight"): {
        "crew": 0.2, "short_side_part": 0.24, "short_textured": 0.22, "buzz": 0.1, "quiff": 0.1,
        "shaved": 0.03, "medium_straight": 0.06, "long_straight": 0.02, "bun": 0.01,
        "ponytail": 0.02},
    ("masculine", "curly"): {
        "crew": 0.2, "short_textured": 0.28, "buzz": 0.12, "curly_medium": 0.28, "quiff": 0.06,
        "shaved": 0.03, "bun": 0.03},
    ("masculine", "coily"): {"crew": 0.3, "buzz": 0.32, "shaved": 0.16, "afro": 0.22},
    ("feminine", "straight"): {
        "bob": 0.18, "medium_straight": 0.24, "long_straight": 0.22, "long_wavy": 0.12,
        "ponytail": 0.12, "bun": 0.07, "short_textured": 0.05},
    ("feminine", "curly"): {
        "curly_medium": 0.34, "long_wavy": 0.3, "bob": 0.08, "ponytail": 0.13, "bun": 0.1,
        "short_textured": 0.05},
    ("feminine", "coily"): {
        "afro": 0.34, "curly_medium": 0.26, "bun": 0.18, "ponytail": 0.1, "buzz": 0.06,
        "crew": 0.06},
}  # fmt: skip
"""By presentation and by how curly the hair is."""
CURLY, COILY = 0.33, 0.68
AFTER_60 = {"short_textured": 4.0, "bob": 2.0, "long_straight": 0.3, "long_wavy": 0.3, "quiff": 0.3,
            "ponytail": 0.5, "buzz": 0.7, "short_side_part": 1.5}  # fmt: skip
"""How much oftener a style is worn after 60."""
WITH_FRINGE = {"bob", "medium_straight", "long_straight", "long_wavy", "ponytail"}
FRINGED = {True: 0.28, False: 0.12}
"""Shares of women and men with such hair who have a fringe."""
BEARD_SHARES = {"none": 0.5, "stubble": 0.17, "moustache": 0.05, "goatee": 0.08, "short_full": 0.13,
                "full": 0.07}  # fmt: skip
BEARD_LENGTHS = {"none": (0.0, 0.0), "stubble": (0.08, 0.25), "moustache": (0.5, 1.0),
                 "goatee": (0.5, 1.6), "short_full": (0.5, 1.3), "full": (1.6, 4.0)}  # fmt: skip
FRAME_SHAPES = {
    "masculine": {
        "rectangle": 0.42,
        "square": 0.22,
        "round": 0.14,
        "rimless": 0.12,
        "aviator": 0.1,
    },
    "feminine": {"rectangle": 0.26, "square": 0.16, "round": 0.24, "rimless": 0.1, "cat_eye": 0.24},
}
FRAME_COLORS = {"black": 0.34, "tortoise": 0.2, "gunmetal": 0.14, "gold": 0.1, "silver": 0.09,
                "clear": 0.05, "red": 0.04, "blue": 0.04}  # fmt: skip
MEAN_AGE = 41.0
"""About which glasses become more frequent; that of people.drawn_age."""


def gray_fraction(age: float, rng: np.random.Generator) -> float:
    """Gray hair: half of people have half of it at about 55; a logistic in age."""
    middle = rng.normal(56, 8)
    gray = 1 / (1 + np.exp(-(age - middle) / 4.5))
    return float(gray) if gray > 0.08 else 0.0  # nobody sees one hair in twelve


def drawn_recession(age: float, presentation: str, rng: np.random.Generator) -> float:
    """Temples and crown without hair: in half of men by 50 (Hamilton 1951), little in women."""
    starts, pace = rng.normal(44, 16), rng.uniform(0.012, 0.04)
    amount = float(np.clip(pace * (age - starts), 0, 1))
    return amount if presentation == "masculine" else 0.15 * amount


def drawn_style(
    age: float, presentation: str, curl: float, recession: float, rng: np.random.Generator
) -> str:
    """A name of STYLES."""
    if recession > 0.25 and presentation == "masculine":
        if recession > 0.6:
            return drawn({"receding_short": 0.5, "shaved": 0.27, "bald": 0.18, "buzz": 0.05}, rng)
        return drawn({"receding_short": 0.7, "buzz": 0.15, "crew": 0.1, "shaved": 0.05}, rng)
    texture = "coily" if curl > COILY else "curly" if curl > CURLY else "straight"
    shares = STYLE_SHARES[presentation, texture]
    if age > 60:
        shares = {style: share * AFTER_60.get(style, 1.0) for style, share in shares.items()}
    return drawn(shares, rng)


def drawn_fringe(style: str, feminine: bool, rng: np.random.Generator) -> float:
    """How far a fringe reaches, 0 for most people."""
    worn = rng.random() < FRINGED[feminine] and style in WITH_FRINGE
    return float(rng.uniform(0.4, 1.0)) if worn else 0.0


def drawn_hair(
    age: float, presentation: str, descent: Descent, gray: float, rng: np.random.Generator
) -> tuple[HairTraits, Color]:
    """Hair of the head, and its color by nature before it was gray or dyed."""
    feminine = presentation == "feminine"
    natural = colors.varied(colors.HAIR[drawn(descent.hair, rng)], 0.18, rng)
    dark = natural[0] < colors.HAIR["brown"][0]
    dyed = rng.random() < (0.22 if dark else 0.28) * feminine
    dyes = colors.DYES_OF_DARK if dark else colors.DYES_OF_LIGHT
    shown = colors.varied(colors.HAIR[drawn(dyes, rng)], 0.15, rng) if dyed else natural
    hidden = feminine and rng.random() < 0.65  # most women color their gray hair
    recession = drawn_recession(age, presentation, rng)
    curl = float(rng.uniform(*descent.curl))
    style = drawn_style(age, presentation, curl, recession, rng)
    traits = HairTraits(
        style=style,
        color=shown,
        gray_fraction=0.05 * gray if hidden else gray,
        curl=curl,
        length=float(rng.uniform(*STYLES[style])),
        density=float(np.clip(rng.normal(1.0, 0.12) - 0.006 * max(0.0, age - 45), 0.45, 1.3)),
        thickness=float(np.clip(rng.normal(0.5, 0.15), 0.1, 1)),
        parting=float(rng.choice([-1, 1]) * rng.uniform(1.5, 4) if rng.random() < 0.65 else
                      rng.normal(0, 0.3)),
        hairline=float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
        recession=recession,
        fringe=drawn_fringe(style, feminine, rng),
    )  # fmt: skip
    return traits, natural


def drawn_brows(
    age: float, presentation: str, natural: Color, gray: float, rng: np.random.Generator
) -> BrowTraits:
    """Eyebrows: darker than blond hair, thicker and lower in men, thinner with age in women."""
    masculine = presentation == "masculine"
    fading = 0.004 * max(0.0, age - 50) * (not masculine)
    color = colors.between(natural, colors.HAIR["darkest_brown"], 0.35)
    return BrowTraits(
        color=colors.between(color, (0.3, 0.29, 0.28), 0.45 * gray),
        density=float(np.clip(rng.normal(0.78 if masculine else 0.7, 0.15) - fading, 0.25, 1)),
        thickness=float(np.clip(rng.normal(0.62 if masculine else 0.42, 0.16), 0.08, 1)),
        arch=float(np.clip(rng.normal(0.36 if masculine else 0.58, 0.17), 0, 1)),
        spacing=float(np.clip(rng.normal(0.42 if masculine else 0.52, 0.17), 0, 1)),
    )


def drawn_beard(
    age: float, presentation: str, natural: Color, gray: float, full: float,
    rng: np.random.Generator,
) -> BeardTraits:  # fmt: skip
    """The beard of a man, none of a woman; `full` is the density of a full one."""
    if presentation == "feminine":
        return BeardTraits()
    shares = BEARD_SHARES | {"none": BEARD_SHARES["none"] + 0.006 * max(0.0, age - 45)}
    if full < 0.6:  # a thin beard is seldom worn over the whole cheek
        shares = shares | {"short_full": 0.04, "full": 0.01, "goatee": 0.12}
    style = drawn(shares, rng)
    dark = 1 - np.clip(natural[0] / 0.3, 0, 1)
    color = colors.between(colors.between(natural, colors.HAIR["red"], 0.1),
                           (0.42, 0.41, 0.40), min(1.0, 1.3 * gray) * 0.8)  # fmt: skip
    return BeardTraits(
        style=style,
        color=color,
        density=0.0 if style == "none" else float(full * rng.uniform(0.6, 1.1)),
        length=float(rng.uniform(*BEARD_LENGTHS[style])),
        shadow=float(full * dark * rng.uniform(0.1, 0.6)),
    )


def wears_glasses(fraction: float, age: float, rng: np.random.Generator) -> bool:
    """Whether glasses are worn: `fraction` of all people, more of the old than of the young."""
    older = 0.6 * fraction * (1 - fraction) * (age - MEAN_AGE) / 23
    return bool(rng.random() < fraction + older)


def drawn_glasses(presentation: str, rng: np.random.Generator) -> GlassesTraits:
    """Somebody's glasses."""
    shape = drawn(FRAME_SHAPES[presentation], rng)
    metal = shape in {"rimless", "aviator"}
    name = drawn({n: s for n, s in FRAME_COLORS.items() if colors.FRAMES[n][1] or not metal}, rng)
    color, metallic = colors.FRAMES[name]
    thin = metal or (metallic > 0 and rng.random() < 0.8)
    rim = rng.uniform(0.06, 0.1) if thin else rng.uniform(0.12, 0.24)
    return GlassesTraits(shape, colors.varied(color, 0.15, rng), float(rim), metallic)
