"""Groups of people: names, quotas that every run of numbers meets, what a config may ask for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from factory.config import load
from factory.config.rendering import RenderingConfig
from factory.errors import ConfigError
from factory.rendering.people import groups
from factory.rendering.people.groups import (
    GROUPS,
    MELANIN,
    block_counts,
    block_order,
    group_of,
    presentation_of,
    tone_of,
)


def test_groups_are_six_tones_by_two_presentations():
    assert len(set(GROUPS)) == 12
    assert {tone_of(group) for group in GROUPS} == set(MELANIN)
    assert Counter(map(presentation_of, GROUPS)) == {"feminine": 6, "masculine": 6}
    assert (tone_of("tone4_feminine"), presentation_of("tone4_feminine")) == ("tone4", "feminine")
    bands = list(MELANIN.values())
    assert all(low < high for low, high in bands)
    assert all(one[1] == two[0] for one, two in pairwise(bands))


def test_with_no_shares_every_twelve_people_have_all_groups():
    config = RenderingConfig(seed=3)
    for start in range(0, 60, 12):
        assert {group_of(config, index) for index in range(start, start + 12)} == set(GROUPS)


SHARES = (
    {},
    {"tone1_feminine": 0.5, "tone6_masculine": 0.5},
    {"tone1_feminine": 0.7, "tone2_masculine": 0.2, "tone5_feminine": 0.1},
    {"tone3_masculine": 1.0},
    {"tone1_feminine": 0.4, "tone2_feminine": 0.0, "tone3_feminine": 0.6},
    {"tone1_masculine": 0.333, "tone2_masculine": 0.333, "tone3_feminine": 0.334},
    {"tone1_masculine": 0.617, "tone2_feminine": 0.283, "tone4_feminine": 0.1},
)


@pytest.mark.parametrize("shares", SHARES, ids=range(len(SHARES)))
def test_any_run_of_people_has_each_groups_share_to_less_than_two(shares):
    """After n people less than one off, so between two numbers less than two."""
    config = RenderingConfig(groups=shares)
    names = list(shares) or list(GROUPS)
    share = np.array([shares.get(name, 1 / 12) for name in names])
    drawn = [names.index(group_of(config, index)) for index in range(2500)]
    one_hot = np.eye(len(names))[drawn]
    ahead = np.cumsum(one_hot, 0) - np.arange(1, 2501)[:, None] * share
    bound = 1 - 1 / max(2, 2 * len(names) - 2)
    assert np.abs(ahead).max() <= bound + 1e-6
    ranges = np.concatenate([np.zeros((1, len(names))), ahead])
    assert np.ptp(ranges, axis=0).max() < 2  # what any run of numbers can be off by


def test_the_group_depends_on_nothing_but_seed_shares_and_number():
    config = RenderingConfig(seed=5, groups={"tone1_feminine": 0.6, "tone4_masculine": 0.4})
    alone = group_of(config, 777)
    groups.block_order.cache_clear()
    assert [group_of(config, index) for index in (3, 778, 777)][2] == alone
    halves = {"tone1_feminine": 0.5, "tone4_masculine": 0.5}
    config, turned = (
        RenderingConfig(seed=5, groups=shares)
        for shares in (halves, dict(reversed(list(halves.items()))))
    )
    assert [group_of(turned, i) for i in range(50)] == [group_of(config, i) for i in range(50)]


def test_every_twelfth_person_is_not_always_of_one_group():
    """People held out by number must be of all groups: the order changes from block to block."""
    counts = Counter(group_of(RenderingConfig(), index) for index in range(0, 1200, 12))
    assert len(counts) == 12
    other = [group_of(RenderingConfig(seed=1), index) for index in range(24)]
    assert other != [group_of(RenderingConfig(), index) for index in range(24)]


def test_a_block_is_the_shortest_with_whole_shares():
    assert block_counts((0.5, 0.25, 0.25)) == (2, 1, 1)
    assert block_counts((1.0,) * 12) == (1,) * 12
    assert block_counts((1 / 3, 2 / 3)) == (1, 2)
    counts = block_counts((0.12345, 0.87655))
    assert sum(counts) == 1000
    assert counts in {(123, 877), (124, 876)}
    assert sorted(block_order((2, 1, 3), 9)) == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"tone7_feminine": 1.0}, r": got 'tone7_feminine'; want tone1 .* to tone6"),
        ({"asian": 1.0}, r"^rendering.groups: got 'asian'; want"),
        ({"tone1_feminine": -0.5, "tone2_feminine": 1.5}, r"tone1_feminine: got -0.5"),
        ({"tone1_feminine": 1.25, "tone2_feminine": -0.25}, r"tone1_feminine: got 1.25; "),
        ({"tone1_feminine": 0.0}, r"shares sum to 0; want 1"),
        ({"tone1_feminine": float("inf")}, r"^rendering.groups.tone1_feminine: got inf"),
        ({"tone1_feminine": 0.5, "tone2_feminine": 0.4}, r"shares sum to 0.9; want 1"),
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(shares, message, tmp_path):
    file = tmp_path / "config.yaml"
    rows = "".join(f"    {name}: {'.inf' if v > 2 else v}\n" for name, v in shares.items())
    file.write_text(f"rendering:\n  groups:\n{rows}")
    with pytest.raises(ConfigError, match=message) as refused:
        load(file)
    assert "\n" not in str(refused.value)


def test_shares_of_three_digits_are_taken():
    third = "{tone1_feminine: 0.333, tone2_feminine: 0.333, tone3_feminine: 0.333}"
    config = load(None, [f"rendering.groups={third}"])
    assert len(config.rendering.groups) == 3
