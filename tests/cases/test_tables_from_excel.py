"""Tables as Excel and other programs save them are read, or refused in one line that says where."""

from __future__ import annotations

import pytest

from factory.config import BaseTrainingConfig, SourceConfig
from factory.errors import SourceError
from factory.sources import open_source, read_faces
from factory.text_to_image.captions import Captions
from tests.cases.photographs import off_center, write_points

RECIPE = ("configs/recognizer/mini.yaml", "source.holdout_identities=0", "source.license=CC0-1.0")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
KEYS = ["José/0", "José/1", "p1/0", "p1/1"]


@pytest.fixture
def people(tmp_path):
    """Two people, one of them called José, and the table of their points in UTF-8."""
    folder = off_center(tmp_path / "people", 2, 2)
    (folder / "p0").rename(folder / "José")
    return folder, write_points(tmp_path / "points.csv", folder)


def encoded(file, encoding: str, text: str | None = None):
    file.write_bytes((text or file.read_text()).encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_landmarks_of_every_encoding_are_found_by_name(people, encoding, run_job):
    folder, table = people
    encoded(table, encoding)
    # without a detector a name that is not found would end the run
    sources = (f"source.path={folder}", f"source.landmarks={table}", "source.detector=null")
    code, said = run_job("train_recognizer", *RECIPE, *sources, "--dry-run")
    assert code == 0, said
    assert ("is no UTF-8 (line 2) and is read as cp1252" in said) == (encoding == "cp1252")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_recognized(people, separator):
    folder, table = people
    text = table.read_text().replace(",", separator)
    encoded(table, "utf-16", text.replace(".", ",").replace(",jpg", ".jpg"))
    source = SourceConfig(kind="folder", path=str(folder), landmarks=str(table), detector=None)
    assert len(read_faces(open_source(source), 0.0)) == 4


def test_a_list_of_images_in_another_encoding_is_refused_with_its_line(people, tmp_path, run_job):
    folder, _ = people
    listed = encoded(tmp_path / "list.txt", "cp1252", "p1/0\nJosé/1\n")
    settings = (f"source.path={folder}", f"batches.oversample={listed}", "training.max_steps=1")
    shape = ("recognizer.num_virtual=4", "recognizer.batch_size=4", "compute.compile=false")
    settings += (*shape, f"training.out={tmp_path / 'out'}", "compute.device=cpu")
    code, said = run_job("train_recognizer", *RECIPE, *settings)
    assert code
    assert "batches.oversample: " in said
    assert "list.txt line 2 is no UTF-8, but may be cp1252" in said
    assert "Traceback" not in said


def captions(file, text: str, encoding: str) -> list[str]:
    recipe = BaseTrainingConfig(
        tables=(str(encoded(file, encoding, text)),), phrases=("{skin} skin",)
    )
    return Captions(recipe, KEYS, ["José", "José", "p1", "p1"]).everything()


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
def test_captions_are_found_whatever_mark_a_table_begins_with(tmp_path, encoding):
    by_key = "key,skin\n" + "".join(f"{key},fair\n" for key in KEYS)
    by_name = "name;skin\nJosé;fair\np1;fair\n"
    for text in (by_key, by_name):
        texts = captions(tmp_path / "t.csv", text, encoding)
        assert [text.endswith("fair skin") for text in texts] == [True] * 4


@pytest.mark.parametrize(
    ("text", "encoding", "problem"),
    [
        ("name,skin\nJosé\np1,fair\n", "utf-8", r"line 2 column 2 \('skin'\) is missing: 1 of 2"),
        ("name,skin\nJosé,fair,old\np1,x\n", "utf-8", "line 2 column 3 has no header"),
        ("name,skin\nJosé,fair\np1,x\n", "cp1252", "line 2 is no UTF-8, but may be cp1252"),
        ("name,skin\nJosé,fair\nJosé,x\n", "utf-8", "line 3 column 1 repeats the 'name' of line 2"),
    ],
)
def test_captions_of_a_faulty_table_are_refused_with_line_and_column(
    tmp_path, text, encoding, problem
):
    with pytest.raises(SourceError, match=rf"base_training\.tables: .*{problem}") as caught:
        captions(tmp_path / "t.csv", text, encoding)
    assert "José" not in str(caught.value)
    assert "\n" not in str(caught.value)
