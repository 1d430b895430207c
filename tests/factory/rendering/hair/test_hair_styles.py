"""The table of styles."""

from __future__ import annotations

import numpy as np

from factory.rendering.hair.hair_styles import STYLES, personal

NAMES = (
    "shaved buzz crew short_side_part short_textured quiff bob medium_straight long_straight "
    "long_wavy curly_medium afro ponytail bun receding_short bald"
).split()
ROWS = {name: style for name, style in STYLES.items() if style is not None}


def test_the_styles_have_their_names() -> None:
    assert sorted(STYLES) == sorted(NAMES)
    assert set(STYLES) - set(ROWS) == {"bald"}


def test_the_budget_of_points_holds() -> None:
    for style in ROWS.values():
        assert style.num_strands * style.num_points <= 170_000  # half of long hair is dropped
        assert 5 <= style.num_points <= 18
        assert style.curl[0] <= style.curl[1]


def test_lengths_order_the_styles() -> None:
    tops = [ROWS[name].top for name in ("shaved", "buzz", "crew", "bob", "long_straight")]
    assert tops == sorted(tops)
    assert all(style.sides <= style.top for style in ROWS.values())
    assert ROWS["afro"].curl[0] > ROWS["curly_medium"].curl[0] > ROWS["long_wavy"].curl[0] > 0


def test_each_person_has_a_variant_of_a_style() -> None:
    style = ROWS["bob"]
    assert personal(style, 3) == personal(style, 3)
    volumes = np.array([personal(style, seed).volume for seed in range(200)]) / style.volume
    assert 0.15 < np.log(volumes).std() < 0.35
    assert personal(style, 3).top == style.top
    assert all(0 <= personal(ROWS["afro"], seed).lift <= 1 for seed in range(50))
