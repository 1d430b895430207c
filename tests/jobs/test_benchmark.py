"""jobs.benchmark from the command line: a table, a JSON, and one line where no file is there."""

from __future__ import annotations

import io
import json
import pickle
from unittest.mock import MagicMock

import pytest
from PIL import Image

from factory.errors import ConfigError
from factory.evaluation.metrics.benchmark import Benchmark
from factory.evaluation.metrics.json_form import from_json
from jobs._arguments import parse
from jobs._catalog import find
from tests.conftest import PX, draw_face
from tests.jobs.commands import ROOT

FIVE = str(ROOT / "configs/benchmarks/five.yaml")
FIELD = str(ROOT / "configs/recognizer/field.yaml")
SETS = ("lfw", "cfp_fp", "agedb_30", "cplfw", "calfw")


def run(*words: str, job: str = "benchmark") -> None:
    find(job).run(parse(find(job), list(words)))


def png(person: int, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_face(person, image)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def words(weights, tmp_path):
    return [
        str(weights / "recognizer"),
        FIVE,
        f"benchmark.folder={tmp_path}",
        f"benchmark.out={tmp_path / 'out'}",
        f"source.image_px={PX}",
    ]


def test_what_is_measured_is_printed_and_written(words, tmp_path, capsys):
    faces = [[png(person, image) for image in range(3)] for person in range(12)]
    images = []
    for person, own in enumerate(faces):
        images += [own[0], own[1], own[2], faces[(person + 1) % 12][0]]
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((images, [True, False] * 12)))
    run(*words, "--dry-run")
    assert "nothing is written" in capsys.readouterr().out
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    run(*words)
    measured = from_json(Benchmark, json.loads((tmp_path / "out/benchmark.json").read_text()))
    assert list(measured.sets) == ["LFW", "CFP-FP", "AgeDB-30", "CALFW", "CPLFW"]
    assert measured.sets["LFW"].num_pairs == 24
    assert measured.mirror_sum == "raw"
    printed = capsys.readouterr().out
    assert "n/a: no such file" in printed
    assert "VariFace" in printed


def test_without_any_file_it_is_one_line(words):
    with pytest.raises(ConfigError, match=r"^benchmark\.sets: got .*lfw\.bin.* none is there"):
        run(*words, "--dry-run")


def test_utility_takes_the_recipe_that_papers_train_by(people, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("factory.shards.manifest.sealed_plan", MagicMock())
    pairs = ", ".join(f"{{pairs: {tmp_path}/{name}.bin}}" for name in SETS)
    run(
        str(tmp_path / "release"),
        FIELD,
        *[f"source.path={people}", "source.license=CC0-1.0", f"utility.benchmarks=[{pairs}]"],
        *[f"utility.out={tmp_path / 'out'}", "--dry-run"],
        job="utility",
    )
    assert capsys.readouterr().out == "checked; nothing is written\n"
