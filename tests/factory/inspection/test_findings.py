"""Numbers in short, JSON without NaN, and warnings in plain words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from factory.inspection.findings import (
    Contents,
    CopyFindings,
    Faces,
    Inspection,
    LabelFindings,
    NotRead,
    SetOverlap,
    values,
)
from factory.inspection.warnings import notes_of, warnings_of

FINE = Inspection(
    source="x",
    kind="folder",
    contents=Contents(500, 5000, 500, 5000, None, [(10, 500)], [], [], 1, [], [], [], 1, 0.0, []),
    left_out=[],
    corrupt=0,
    corrupt_first=[],
    faces=Faces(None, 5000, 0, 0, [], [], values(np.full(9, 60.0)), None, 10.0, 0.0, []),
    looks={name: values(np.full(9, 100.0)) for name in ("brightness", "sharpness")},
    copies=CopyFindings(0, 0, 0, 0, [], []),
    labels=None,
    judge_note="people are not compared",
    pairs=None,
    against=None,
)


def test_values_leave_out_what_is_no_number():
    found = values(np.array([1.0, np.nan, 3.0, np.inf]))
    assert (found.count, found.mean, found.min, found.max) == (2, 2.0, 1.0, 3.0)
    assert sum(found.histogram) == 2
    assert values(np.array([np.nan])) is None
    assert sum(values(np.full(5, 7.0)).histogram) == 5


def test_json_has_null_for_what_is_no_number():
    odd = replace(FINE, faces=replace(FINE.faces, beyond_fraction=float("nan")))
    found = json.loads(odd.to_json())
    assert found["faces"]["beyond_fraction"] is None
    assert found["faces"]["found"] == 5000


def contents(**changes):
    return replace(FINE, contents=replace(FINE.contents, **changes))


def faces(**changes):
    return replace(FINE, faces=replace(FINE.faces, **changes))


def looks(**changes):
    return replace(FINE, looks=FINE.looks | changes)


LABELS = LabelFindings(
    *("dlib", [], 9, 0.4, 0.99, 0, ""),  # of mislabeled images
    *([], [], 0, 0.8, 0.01, ""),  # of double names
)


def labels(**changes):
    return replace(FINE, labels=replace(LABELS, **changes), judge_note="")


OVERLAP = SetOverlap("t", 9, 9, [], 0, 4, [], 3, [], 0.9, 90, 0.8, 0.001, [], "")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (contents(people=40), "few people: 40"),
        (contents(images=1500), "few images a person: 3.0"),
        (contents(people_by_num_images=[(1, 300), (30, 200)]), "300 of 500 people have a single"),
        (contents(gray_fraction=0.9), "mostly gray: 90%"),
        (
            contents(remarks=["p: 9 people; check that it is whole"]),
            "p: 9 people",
        ),
        (replace(FINE, left_out=[NotRead("loose_file", 3, ["a.jpg"])]), "3 not read (loose_file)"),
        (replace(FINE, corrupt=2), "2 images cannot be read"),
        (faces(none=100), "no face is found in 100 of 5000"),
        (faces(several=500), "several faces in 500"),
        (faces(aligned_px=112, beyond_fraction=0.9), "not aligned to the ArcFace template"),
        (faces(eye_px=values(np.full(9, 12.0))), "small faces: eyes are 12 px apart"),
        (looks(sharpness=values(np.full(9, 3.0))), "blurred"),
        (looks(brightness=values(np.full(9, 20.0))), "dark: median luma 20"),
        (replace(FINE, copies=CopyFindings(0, 2, 2, 0, [], [])), "2 pairs of images of different"),
        (replace(FINE, copies=CopyFindings(4, 0, 3, 0, [], [])), "3 images add nothing"),
        (labels(num_doubles=2), "2 pairs of names are likely one person"),
        (labels(mislabeled_estimate=4), "about 4 images are likely of somebody else"),
        (
            labels(mislabeled_note="n/a: why", mislabeled_found=0.2),
            "labels are not checked: n/a: why",
        ),
        (replace(FINE, against=OVERLAP), "4 images are images of t"),
        (replace(FINE, against=OVERLAP), "3 people are likely people of t"),
        (replace(FINE, against=OVERLAP), "90 images are nearer to somebody of t"),
    ],
)
def test_each_finding_is_told(found, line):
    assert warnings_of(FINE) == []
    assert any(line in warning for warning in warnings_of(found))


def test_images_that_own_scores_explain_are_no_finding():
    """The lowest 3 % of anybody's own images are doubted; the page lists them."""
    assert warnings_of(labels()) == []


def test_files_of_the_system_are_no_finding():
    harmless = replace(FINE, left_out=[NotRead("system_file", 3, [".DS_Store"])])
    assert warnings_of(harmless) == warnings_of(FINE)


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (FINE, "people are not compared"),
        (
            contents(remarks=["property: 9 classes of 112x112 pixels, as the records hold"]),
            "property: 9 classes of 112x112 pixels, as the records hold",
        ),
        (contents(remarks=["labels up to 9 with 2 gaps"]), "labels up to 9 with 2 gaps"),
        (
            labels(mislabeled_note="n/a: one person", mislabeled_found=None),
            "labels are not checked: n/a: one person",
        ),
    ],
)
def test_how_it_was_read_and_what_was_not_asked_for_is_no_finding(found, note):
    """--strict must not refuse good data because a `property` says what the records hold."""
    assert warnings_of(found) == []
    assert note in notes_of(found)
    assert not replace(found, warnings=warnings_of(found), notes=notes_of(found)).has_findings
