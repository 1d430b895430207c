"""Metrics go into JSON and come back, and those of an older factory are read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import get_type_hints

import pytest

from factory.errors import IntegrityError
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.release import Metrics, Throughput
from factory.evaluation.metrics.similarity import Properties, Similarity
from factory.evaluation.metrics.utility import Utility
from factory.evaluation.metrics.values import NotMeasured
from tests.measured import bare_metrics, full_metrics, utility

METRICS = {"full": full_metrics(), "bare": bare_metrics()}


@pytest.mark.parametrize("metrics", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("stem", [item.name for item in fields(Metrics)])
def test_every_file_comes_back_as_it_was(metrics, stem):
    value = getattr(metrics, stem)
    written = json.dumps(to_json(value), allow_nan=False)
    read = from_json(get_type_hints(Metrics)[stem], json.loads(written))
    assert read == value
    assert json.dumps(to_json(read)) == written


def test_each_file_holds_the_fields_of_its_type_by_name():
    files = full_metrics().files()
    told_elsewhere = {"utility", "attack", "lineage", "hardness"}  # two are None in these
    assert set(files) == {item.name for item in fields(Metrics)} - told_elsewhere
    counts = {"planned": 42, "kept_fraction": 0.8, "source_people": None}
    assert files["counts"] == counts | {"min_kept_fraction": None}
    assert files["leakage"]["faces"]["num_leaks"] == 3
    assert files["leakage"]["classes"]["leaks"] == [1]
    assert files["similarity"]["recognizer"]["made_vs_photographs"]["auc"] == 0.987
    assert files["properties"]["reference_sets"]["ffhq"]["fidelity"]["recognizer"]["fid"] == 12.345
    assert files["edits"] == {
        "mask 0.2": {
            "count": 7,
            "occluded": 0.21,
            "original_cosine": 0.81,
            "visible_cosine": 0.91,
        }
    }


def test_what_was_not_measured_says_why_and_leaves_no_file_of_its_own():
    files = bare_metrics().files()
    assert files["leakage"] == {"note": "n/a: nobody looked"}
    assert "edits" not in files


def as_written_before(body: dict, new: str, old: str) -> dict:
    """The same JSON with a key under its old name."""
    return {old if key == new else key: value for key, value in body.items()}


def test_properties_of_an_older_factory_are_read():
    properties = full_metrics().properties
    body = to_json(properties)
    for recognizer in body["recognizers"].values():
        for side in ("release", "source"):
            recognizer[side] = as_written_before(
                recognizer[side], "nearest_center", "nearest_centre"
            )
    body |= body.pop("recognizers")  # they stood beside the other properties
    body = as_written_before(body, "duplicates", "repeats")
    body = as_written_before(body, "reference_sets", "beside")
    for reference in body["beside"].values():
        reference |= reference.pop("fidelity")
    assert from_json(Properties, body) == properties
    unscored = from_json(Properties, body | {"quality": {}, "beside": {}})
    assert unscored == replace(properties, quality=None, reference_sets={})


def test_similarity_and_throughput_of_an_older_factory_are_read():
    similarity, throughput = full_metrics().similarity["recognizer"], full_metrics().throughput
    body = as_written_before(to_json(similarity), "made_vs_photographs", "with_source")
    assert from_json(Similarity, body) == similarity
    del body["with_source"]
    assert from_json(Similarity, body | {"overlap": {}}).overlap.genuine is None
    new, old = "sampling_fraction_of_busy_time", "sampling_share_of_busy_time"
    assert from_json(Throughput, as_written_before(to_json(throughput), new, old)) == throughput


def test_utility_of_an_older_factory_is_read():
    body = to_json(utility())
    for learned in body["sets"].values():
        accuracy = learned["benchmarks"]["lfw"]
        accuracy |= {f"tar_at_far_{far}": rate for far, rate in accuracy.pop("tar_at_far").items()}
    read = from_json(Utility, body)
    assert read == utility()
    assert isinstance(read.runs["real"][0].benchmarks["lost"], NotMeasured)


def test_a_file_that_lacks_something_is_refused():
    body = to_json(full_metrics().throughput)
    del body["wall_s"]
    with pytest.raises(IntegrityError, match=r"Throughput has no 'wall_s'; measure .* again"):
        from_json(Throughput, body)
