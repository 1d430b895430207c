"""Prompts: every blank drawn by itself, the same again, and what cannot be filled is named."""

from collections import Counter

import pytest

from factory.config import PersonalizationConfig
from factory.errors import ConfigError, SourceError
from factory.records import Identity
from factory.shots.prompts import prompt_knobs, prompt_of

ANNA = Identity(0, "real", "source", 0, 0.0, 0.0, 3, name="anna")
LISTS = {"views": ("face ", "side "), "backgrounds": (", beach", ""), "lights": ("",)}


def prompts(knobs, count=400):
    return [prompt_of(knobs, ANNA, (0, 0, image), 0) for image in range(count)]


def test_all_combinations_come_about_equally_often():
    knobs = prompt_knobs(PersonalizationConfig(**LISTS), ["anna"])
    found = Counter(prompts(knobs))
    assert len(found) == 4
    assert min(found.values()) > 70
    assert found["side portrait photo of sks person, beach"]
    assert prompts(knobs) == prompts(knobs)
    assert prompt_of(knobs, ANNA, (1, 0, 0), 0) in found
    other = [prompt_of(knobs, ANNA, (0, 0, image), 1) for image in range(400)]
    assert other != prompts(knobs)  # another attempt asks anew


def test_genders_come_from_a_table(tmp_path):
    file = tmp_path / "genders.csv"
    file.write_text("name,gender\nanna,female\n")
    knobs = prompt_knobs(PersonalizationConfig(genders=str(file), **LISTS), ["anna"])
    assert all("photo of female sks person" in prompt for prompt in prompts(knobs, 5))
    with pytest.raises(SourceError, match=r"has no row for 'berta' \(1 of 2 people\)"):
        prompt_knobs(PersonalizationConfig(genders=str(file)), ["anna", "berta"])
    with pytest.raises(SourceError, match=r"booth\.genders: no file"):
        prompt_knobs(PersonalizationConfig(genders="nowhere.csv"), ["anna"])


def test_blanks_that_cannot_be_filled_are_named():
    with pytest.raises(ConfigError, match=r"booth\.template: has a blank \{hat\}"):
        prompt_knobs(PersonalizationConfig(template="photo of sks person {hat}"), [])
    for broken in ("{view", "a {} b", "{view!z}", "{view:d}"):
        with pytest.raises(ConfigError, match=r"booth\.template: got .* want blanks such as"):
            prompt_knobs(PersonalizationConfig(template=broken), [])
    with pytest.raises(ConfigError, match=r"booth\.views: is empty"):
        prompt_knobs(PersonalizationConfig(views=()), [])
