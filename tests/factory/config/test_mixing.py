"""Rules of people who are mixes of two others."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import load
from factory.config.mixing import MixConfig, least_parent_cosine
from factory.errors import ConfigError


@pytest.fixture
def config_of(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return lambda *changes: load(tmp_path / "c.yaml", list(changes))


MIXED = "identities.mix.fraction=0.2"


def test_mixes_are_taken_and_off_by_default(config_of):
    assert config_of().identities.mix == MixConfig(fraction=0.0, weight=0.5, pairs="far")
    assert config_of(MIXED).identities.mix.count(100) == 20
    assert [MixConfig(fraction=0.3).count(people) for people in (0, 1, 2, 5)] == [0, 0, 1, 2]


def test_as_many_are_mixed_as_there_are_pairs(config_of):
    config = config_of("identities.mix.fraction=0.6", "identities.num_virtual=10")
    assert config.identities.mix.count(10) == 4 * 3 // 2


def test_settings_of_mixes_ask_for_nothing_where_there_are_none(config_of):
    off = config_of("identities.mix.weight=1", "release.method=edit", "identities.num_virtual=0")
    assert off.identities.mix.count(100) == 0


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (["identities.mix.fraction=1.5"], r"^identities.mix.fraction: got 1.5; want 0 to 1"),
        (["identities.mix.weight=-0.1"], r"^identities.mix.weight: got -0.1; want 0 to 1"),
        (["identities.mix.pairs=near"], r"^identities.mix.pairs: got 'near'; want .*far.*random"),
        ([MIXED, "identities.mix.weight=1"], r"^identities.mix.weight: got 1, with which a mix is"),
        ([MIXED, "identities.mix.weight=0"], r"^identities.mix.weight: got 0, with which a mix is"),
        (
            [MIXED, "identities.mix.weight=0.75", "identities.max_cosine=0.94"],
            r"weight: got 0.75 with identities.max_cosine=0.94, .* 0.943 or more",
        ),
        ([MIXED, "release.method=lora", "personalization.loras=all"], r"release.method=lora"),
        (
            [MIXED, "identities.proposal=inquiry", "identities.inquiry=made"],
            r"identities.proposal=inquiry, .*; want 0, or one of prototypes",
        ),
        ([MIXED, "identities.attributes=g.csv", "identities.quotas={a: 1.0}"], r"no quotas"),
        ([MIXED, "identities.num_virtual=2"], r"got 0.2 of 2 people, which is nobody"),
        (
            [MIXED, "identities.num_virtual=0", "plan.fill_to=9", "release.allow_real=true"],
            "nobody",
        ),
        (["identities.mix.fraction=1"], r"of 100 people, which leaves 0 to be parents of 100"),
        (
            ["identities.mix.fraction=0.7", "identities.num_virtual=10"],
            r"of 10 people, which leaves 3 to be parents of 7",
        ),
        ([MIXED, "sampler.negative_condition=nearest_identity"], r"negative_condition='none'"),
        ([MIXED, "sampler.similarity=[0.5]"], r"with sampler.similarity=\(0.5,\)"),
        ([MIXED, "sampler.kind=distilled", "sampler.num_steps=4"], r"sampler.kind=distilled"),
    ],
)
def test_mixes_of_nobody_or_that_nothing_can_draw_are_refused(config_of, changes, wanted):
    with pytest.raises(ConfigError, match=wanted) as raised:
        config_of(*changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("weight", [0.5, 0.3, 0.75, 0.9])
def test_the_least_cosine_to_a_parent_is_that_over_all_angles(weight):
    angle = np.linspace(0, np.pi, 200_001)[:-1]
    first, second = np.ones_like(angle) + 0j, np.exp(1j * angle)
    mix = weight * first + (1 - weight) * second
    parent = first if weight >= 0.5 else second
    cosine = (mix * parent.conj()).real / np.abs(mix)
    assert least_parent_cosine(weight) == pytest.approx(cosine.min(), abs=1e-5)
