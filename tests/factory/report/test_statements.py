"""What a release says of itself in words, and that it says no more than is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.config import EditingConfig
from factory.evaluation.metrics.release import Balance, GroupBalance, RecognizerTraining
from factory.evaluation.metrics.separability import FalseMatches
from factory.evaluation.metrics.values import NotMeasured
from factory.report.learned import learned
from factory.report.statements import (
    biases,
    collection,
    edited_collection,
    limits,
    statements,
)
from factory.shots.plan import Plan
from factory.shots.request import SourceRelease, edit_request
from tests.measured import MISSING, bare_metrics, full_metrics
from tests.planned import REQUEST, request_with


def edits_of(method: str, release: SourceRelease | None = None):
    """The request of a release of edits."""
    edits = edit_request(EditingConfig(method=method), None, None)
    return replace(REQUEST, edits=edits, source=replace(REQUEST.source, release=release))


def test_limits_say_for_how_many_others_a_person_could_be_taken():
    plain = bare_metrics()
    assert "real strangers whom nobody" not in statements(Plan(REQUEST, {}, []), plain).limits
    matches = FalseMatches(rate=2.5e-5, rate_error=0.2, num_others=499_999, per_person=12.5)
    crowded = replace(plain, separability=replace(plain.separability, false_matches=matches))
    text = statements(Plan(REQUEST, {}, []), crowded).limits
    assert "Were its 500000 people real strangers whom nobody kept apart" in text
    assert "would mistake each of them for 12 of the others at the limit" in text
    assert "(cosine 0.500)" in text
    many = replace(matches, per_person=12_345.6)
    metrics = replace(plain, separability=replace(plain.separability, false_matches=many))
    assert "mistake each of them for 12346 of" in statements(Plan(REQUEST, {}, []), metrics).limits
    alone = replace(matches, num_others=0, per_person=0.0)
    metrics = replace(plain, separability=replace(plain.separability, false_matches=alone))
    assert statements(Plan(REQUEST, {}, []), metrics).limits == limits(plain.separability, REQUEST)


def test_groups_are_named_with_their_fractions():
    assert "unmeasured" in biases(NotMeasured("n/a"))
    of = {"quota": None, "mean_attempts": 0.0, "mean_cosine_within": None}
    of |= {"nearest_other_mean": 0.1, "nearest_real_mean": 0.1}
    groups = {"men": GroupBalance(6, 0.6, **of), "women": GroupBalance(4, 0.4, **of)}
    assert "men 60.0%, women 40.0%." in biases(Balance(0.9, groups))


def test_collection_names_whom_the_recognizer_learned_from_where_its_checkpoint_says():
    text = collection(REQUEST, RecognizerTraining(1000, 77))
    assert "learned from 1000 images of 77 people" in text
    assert "compared to 12 images of 4 people" in text
    assert "learned from images of people" in collection(REQUEST, MISSING)


def test_collection_says_by_which_method_faces_were_drawn():
    drawn = statements(Plan(REQUEST, {}, []), full_metrics()).collection
    assert "drawn by a diffusion model from an embedding" in drawn
    request = request_with(release={"method": "lora", "allow_real": True}, plan={"fill_to": 4})
    personal = statements(Plan(request, {}, []), full_metrics()).collection
    assert "drawn by a text-to-image model with a LoRA of its person" in personal
    assert "those of its source, 12 images of 4 people" in personal
    assert "embedding" not in personal


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (
            "classic",
            "turned, mirrored, cropped and made noisy as a whole; metadata/ names",
        ),
        ("drawn", "with an occluder painted over a region; metadata/ names the original and"),
        ("uvit", "with a region redrawn by a diffusion model"),
    ],
)
def test_edits_say_how_they_were_made(method, words):
    origin = SourceRelease("people", "0.1.0", "h" * 64, False, "s" * 64)
    request = edits_of(method, origin)
    text = edited_collection(request.source, request.edits)
    assert words in text
    assert "(release people 0.1.0)" in text
    whole = statements(Plan(request, {}, []), full_metrics())
    assert whole.collection == f"{text} {learned(None)}"
    assert whole.labels == "The label is that of the image that was edited."


def test_filters_are_named_with_their_limits():
    filters = {"min_own_cosine": 0.3, "min_sharpness": None}
    request = request_with(filters=filters)
    text = statements(Plan(request, {}, []), full_metrics()).filtering
    assert "min_own_cosine 0.3" in text
    assert "min_sharpness" not in text
