"""How many people a source holds out."""

from __future__ import annotations

import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError


@pytest.mark.parametrize(
    ("fraction", "num_names", "num_heldout"),
    [(0.2, 102, 20), (0.2, 10, 2), (0.2, 3, 2), (0.01, 50, 2), (0.5, 8, 4)],
)
def test_a_fraction_is_rounded_and_at_least_two_people(fraction, num_names, num_heldout):
    config = SourceConfig(holdout_fraction=fraction)
    assert config.num_heldout(num_names) == num_heldout
    assert config.holds_out


def test_a_number_is_what_it_is_and_another_source_holds_nobody_out():
    config = SourceConfig(holdout_identities=7)
    assert (config.num_heldout(5), config.holds_out) == (7, True)
    assert (SourceConfig().num_heldout(5), SourceConfig().holds_out) == (0, False)
    assert not SourceConfig(heldout="x", holdout_fraction=0.2).other.holds_out


@pytest.mark.parametrize("num_names", [1, 2])
def test_a_fraction_that_leaves_nobody_is_the_key_that_was_set(num_names):
    error = rf"^source\.holdout_fraction: got 0\.1 of {num_names} people, of which at least 2"
    with pytest.raises(ConfigError, match=error):
        SourceConfig(holdout_fraction=0.1).num_heldout(num_names)
