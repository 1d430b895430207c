"""Rules of negatives that change over the noise."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError


@pytest.fixture
def config_of(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return lambda *changes: load(tmp_path / "c.yaml", list(changes))


FARTHEST = "sampler.negative_condition=farthest_identity"


def test_a_ramp_of_a_negative_is_taken(config_of):
    sampler = config_of(FARTHEST, "sampler.negative_ramp=[0.0,1.0]").sampler
    assert sampler.negative_ramp == (0.0, 1.0)
    assert config_of().sampler.negative_ramp == (1.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ([FARTHEST, "sampler.negative_ramp=[-0.1,1]"], r"negative_ramp: got \[-0.1, 1.0\]"),
        ([FARTHEST, "sampler.negative_ramp=[0,10.5]"], r"two factors from 0 to 10"),
        ([FARTHEST, "sampler.negative_ramp=[0,0]"], r"not both 0"),
        (["sampler.negative_ramp=[0,1]"], r"sampler.negative_condition=none; want a negative"),
        ([FARTHEST, "sampler.guidance=1"], r"farthest_identity' with sampler.guidance=1"),
    ],
)
def test_a_ramp_that_weighs_nothing_or_turns_round_is_refused(config_of, changes, wanted):
    with pytest.raises(ConfigError, match=wanted):
        config_of(*changes)
