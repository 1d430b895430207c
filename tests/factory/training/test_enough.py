"""A source is enough for a method from the figures that the method was seen to work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.training.enough import METHODS, fits, method_of, warnings_of

ROOT = Path(__file__).parents[3]


def test_recipes_are_there_and_figures_are_of_one_set():
    for method in METHODS.values():
        assert (ROOT / method.recipe).is_file(), method.recipe
        assert method.min_images >= method.min_people * method.min_images_a_person
        assert method.source
        assert method.instead


@pytest.mark.parametrize("key", METHODS)
def test_the_least_is_enough_and_one_less_is_not(key):
    method = METHODS[key]
    assert warnings_of(key, method.min_people, method.min_images) == []
    (line,) = warnings_of(key, method.min_people, method.min_images - 1)
    assert line.startswith(f"warning: {method.min_images - 1:g} images where ")
    assert method.instead in line
    if method.min_people > 1:
        (line,) = warnings_of(key, method.min_people - 1, method.min_images)
        assert f"{method.min_people - 1} people where {method.min_people} are the fewest" in line


def test_few_images_a_person_are_counted_by_their_mean():
    (line,) = warnings_of("recognizer", 2000, 3000)
    assert "1.5 images a person where 2 are the fewest" in line


def test_what_fits_a_small_set_of_photographs():
    """102 people x 2, as London: nothing from nothing, everything that begins with the package."""
    enough = {fit.method.recipe for fit in fits(102, 204) if fit.is_enough}
    assert enough == {"configs/photographs.yaml"}
    assert len(fits(20_000, 2_000_000)) == len(METHODS)
    assert all(fit.is_enough for fit in fits(20_000, 2_000_000))
    assert fits(20_000, 2_000_000)[0].line.endswith("enough people and images")


def test_a_training_that_begins_with_weights_needs_less():
    assert method_of("generator", None) == "generator"
    assert method_of("generator", "starter:generator") == "finetuned_generator"
    assert {method_of(s, "x") for s in ("autoencoder", "generator")} <= set(METHODS)
