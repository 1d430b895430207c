"""Every old key is answered by a key that there is."""

from __future__ import annotations

import pytest

from factory.config import Config
from factory.config.renamed import (
    NEEDS_METHOD,
    RENAMED_KEYS,
    RENAMED_SECTIONS,
    RENAMED_VALUES,
    new_name,
)
from factory.config.types import fields_of, leaves


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_old_keys_have_new_ones_and_are_gone_themselves(old):
    assert new_name(old) in leaves(Config)
    assert old not in leaves(Config)


@pytest.mark.parametrize("old", RENAMED_SECTIONS)
def test_old_sections_have_new_ones_and_are_gone_themselves(old):
    assert new_name(old) in fields_of(Config)
    assert old not in fields_of(Config)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("feed.mix", "batches.mix"),
        ("editor.segmenter_path", "inpainting_training.segmenter_path"),
        ("booth.rank", "personalization.rank"),
        ("booth.family", "base_model.family"),
        ("cluster.num_nodes", "estimate.num_nodes"),
        ("prices.kept_share", "estimate.kept_fraction"),
        ("text_to_image.tables", "base_training.tables"),
        ("plan.micro_batch", None),
    ],
)
def test_keys_of_renamed_sections(old, new):
    assert new_name(old) == new


def test_hints_are_about_keys_and_values_that_exist():
    assert all(new_name(old) in leaves(Config) for old in NEEDS_METHOD)
    for key, values in RENAMED_VALUES.items():
        assert set(values.values()) <= set(leaves(Config)[key].__args__)
        assert not set(values) & set(leaves(Config)[key].__args__)
