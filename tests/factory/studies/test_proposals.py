"""The table of proposals: its figures in closed form, its rows, and what it says when full."""

from __future__ import annotations

import math

import numpy as np
import pytest

from factory.errors import ConfigError
from factory.studies.proposals import REAL, STAGE, check, compare, figures_of, lines


def test_figures_of_two_people_on_axes():
    """Images at 60 and at 90 degrees of person 0, which is the axis of person 1, and right ones."""
    asked = np.eye(3)[:2]
    half = np.array([0.5, 0.0, 0.75**0.5])
    drawn = np.stack([[half, asked[1]], [asked[1], asked[1]]])
    got = figures_of(asked, drawn, 0.4)
    assert got["own_cosine"] == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert got["kept"] == 3 / 4
    assert got["nearest_other"] == 0
    assert got["image_nearest_other"] == pytest.approx((0 + 1 + 0 + 0) / 4)
    assert got["within"] == pytest.approx((0 + 1) / 2)
    center = (half + asked[1]) / np.linalg.norm(half + asked[1])
    assert got["diversity"] == pytest.approx(1 - center[1])


def test_one_shot_has_no_pairs_of_one_person():
    assert math.isnan(figures_of(np.eye(3), np.eye(3)[:, None], None)["within"])


def test_every_proposal_is_a_row_at_one_gate_and_what_runs_out_is_told(release_config):
    said: list[str] = []
    stage = ("recognizer.prototypes.steps=2", "recognizer.num_virtual=12")
    config = release_config("identities.max_cosine=0.99", "identities.num_virtual=3", *stage)
    rows = compare(config, said.append)
    names = [REAL, "pca", "packing", "colored", "prototypes", STAGE]
    assert [row.proposal for row in rows] == names
    assert said == ["gate 0.9900, 3 people x 2 images"]
    assert all(-1 <= row.own_cosine <= 1 for row in rows)
    assert len(lines(rows)) == 2 + len(names)
    full = release_config("identities.max_cosine=-0.45", "identities.num_virtual=3")
    assert [row.proposal for row in compare(full, said.append)] == [REAL]
    assert sum("identities." in line for line in said) == 4


def test_one_person_cannot_be_compared(release_config):
    with pytest.raises(ConfigError, match=r"identities\.num_virtual: got 1; want 2"):
        check(release_config("identities.num_virtual=1"))
