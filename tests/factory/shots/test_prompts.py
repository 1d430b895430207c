"""Prompts: every blank drawn by itself, the same again, and what cannot be filled is named."""

from collections import Counter
from dataclasses import replace

import pytest

from factory.config import PersonalizationConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.naming import Naming
from factory.records import Identity
from factory.shots.prompts import prompt_of, prompt_request

ANNA = Identity(0, "real", "source", 0, 0.0, 0.0, 3, name="anna")
LISTS = {"views": ("face ", "side "), "backgrounds": (", beach", ""), "lights": ("",)}


def prompts_for(personalization, names):
    return prompt_request(personalization, names, "", None, Naming())


def prompts(request, count=400):
    return [prompt_of(request, ANNA, (0, 0, image), 0) for image in range(count)]


def test_all_combinations_come_about_equally_often():
    request = prompts_for(PersonalizationConfig(**LISTS), ["anna"])
    counts = Counter(prompts(request))
    assert len(counts) == 4
    assert min(counts.values()) > 70
    assert counts["side portrait photo of sks person, beach"]
    assert prompts(request) == prompts(request)
    assert prompt_of(request, ANNA, (1, 0, 0), 0) in counts
    other = [prompt_of(request, ANNA, (0, 0, image), 1) for image in range(400)]
    assert other != prompts(request)  # another attempt asks anew


def test_genders_come_from_a_table(tmp_path):
    file = tmp_path / "genders.csv"
    file.write_text("name,gender\nanna,female\n")
    request = prompts_for(PersonalizationConfig(genders=str(file), **LISTS), ["anna"])
    assert all("photo of female sks person" in prompt for prompt in prompts(request, 5))
    with pytest.raises(SourceError, match=r"has no row for 'berta' \(1 of 2 people\)"):
        prompts_for(PersonalizationConfig(genders=str(file)), ["anna", "berta"])
    with pytest.raises(SourceError, match=r"personalization\.genders: no file"):
        prompts_for(PersonalizationConfig(genders="nowhere.csv"), ["anna"])


def test_genders_are_those_of_pseudonyms_in_a_plan(tmp_path):
    file, naming = tmp_path / "genders.csv", Naming(b"a key of sixteen letters")
    file.write_text("name,gender\nanna,female\n")
    recipe = PersonalizationConfig(genders=str(file), **LISTS)
    request = prompt_request(recipe, ["anna"], "", None, naming)
    assert request.genders == {naming.of("anna"): "female"}
    called = replace(ANNA, name=naming.of("anna"))
    assert "photo of female sks person" in prompt_of(request, called, (0, 0, 0), 0)
    with pytest.raises(SourceError, match=rf"has no row for '{naming.of('berta')}'"):
        prompt_request(recipe, ["anna", "berta"], "", None, naming)


def test_blanks_that_cannot_be_filled_are_named():
    with pytest.raises(ConfigError, match=r"personalization\.template: has a blank \{hat\}"):
        prompts_for(PersonalizationConfig(template="photo of sks person {hat}"), [])
    for broken in ("{view", "a {} b", "{view!z}", "{view:d}"):
        with pytest.raises(
            ConfigError, match=r"personalization\.template: got .* want blanks such as"
        ):
            prompts_for(PersonalizationConfig(template=broken), [])
    with pytest.raises(ConfigError, match=r"personalization\.views: is empty"):
        prompts_for(PersonalizationConfig(views=()), [])
