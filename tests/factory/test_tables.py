"""Tables are read as whatever program saved them, or refused with line and column."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import tables
from factory.config import IdentitiesConfig, PersonalizationConfig
from factory.errors import ConfigError, FactoryError, PlanError, SourceError
from factory.identities.groups import read_labels
from factory.provenance.naming import Naming
from factory.recognition.batches import oversample_sha256
from factory.recognition.pairs import read_lfw
from factory.shots.prompts import prompt_request
from factory.tables import Table, UserFile, named_as

ROWS = [["José", "hell"], ["Zoë", "dunkel"]]


def file_of(path: Path, data: bytes | str = b"", error: type[FactoryError] = SourceError):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return UserFile("section.key", str(path), "a table of ours", error)


def read(path: Path, data: bytes | str, remarks: list[str] | None = None) -> Table:
    return Table(file_of(path, data), remarks)


def refused(path: Path, data: bytes | str) -> str:
    with pytest.raises(SourceError) as caught:
        list(read(path, data).rows())
    message = str(caught.value)
    assert message.startswith("section.key: ")
    assert message.endswith("; want a table of ours")
    assert "\n" not in message
    return message.removeprefix(f"section.key: {path} ").removesuffix("; want a table of ours")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_with_marks_and_separators(tmp_path, encoding, separator, end):
    text = end.join(separator.join(cells) for cells in (["name", "skin"], *ROWS)) + end
    table = read(tmp_path / "t.csv", text.encode(encoding))
    assert table.columns == ("name", "skin")
    assert list(table.rows()) == [(2, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_either_order(tmp_path, order):
    mark = "\ufeff".encode(order)
    assert read(tmp_path / "t.csv", mark + "name\nJosé\n".encode(order)).columns == ("name",)


def test_cp1252_is_read_only_where_somebody_is_told(tmp_path):
    data = "name,skin\nJosé,hell\nZoë,dunkel\n".encode("cp1252")
    remarks: list[str] = []
    assert list(read(tmp_path / "t.csv", data, remarks).rows()) == [(2, ROWS[0]), (3, ROWS[1])]
    (remark,) = remarks
    assert remark.startswith(f"section.key: {tmp_path / 't.csv'} is no UTF-8 (line 2) and is read")
    assert refused(tmp_path / "t.csv", data).startswith("line 2 is no UTF-8, but may be cp1252")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"name\nfine\n\x81\xff\n", 3),  # which cp1252 does not know either
        ("name\nJos\n".encode("utf-16-le"), 1),  # without its mark
        (b"\xff\xfen\0a\0m\0e\0\n\0J", 2),  # cut in a character
        (b"\x89PNG\r\n\x1a\n\0\0", 1),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, data, line):
    remarks: list[str] = []
    with pytest.raises(SourceError, match=rf"line {line} is no text in UTF-8, UTF-16 or cp1252"):
        read(tmp_path / "t.csv", data, remarks)
    assert remarks == []


def test_bytes_that_are_divided_by_a_chunk_are_one_character(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 3)
    table = read(tmp_path / "t.csv", "näme\nJosé\n")
    assert list(table.rows()) == [(2, ["José"])]
    assert refused(tmp_path / "t.csv", b"n\xc3\xa4me\nabc\nJos\xe9 \n").startswith("line 3 is no")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path, words in ((tmp_path / "none", "no file"), (tmp_path, "cannot be read (Is a dir")):
        with pytest.raises(ConfigError) as caught:
            Table(UserFile("section.key", str(path), "x", ConfigError))
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1\n", "line 2 column 2 ('b') is missing: 1 of 2 cells"),
        ("a,b,c\n1,2,3\n\n1\n", "line 4 column 2 ('b') is missing: 1 of 3 cells"),
        ("a,b\n1,2,3\n", "line 2 column 3 has no header: 3 cells, the header has 2"),
        ("a,b,a\n", "line 1 has the name of column 3 twice"),
        ('a,b\n1,"2\n', "line 2 is no row of a CSV (unexpected end of data)"),
        ("sep=;\na;b\n1\n", "line 3 column 2 ('b') is missing: 1 of 2 cells"),
    ],
)
def test_faults_are_named_by_line_and_column(tmp_path, text, problem):
    assert refused(tmp_path / "t.csv", text) == problem


def test_rows_that_excel_fills_up_are_as_they_were(tmp_path):
    table = read(tmp_path / "t.csv", "sep=;\na;b;;\n 1 ;2;;\n;;;\n3;4\n")
    assert list(table.rows()) == [(3, ["1", "2"]), (5, ["3", "4"])]
    assert table.has_comma_decimals


def test_cells_may_be_quoted(tmp_path):
    table = read(tmp_path / "t.csv", '"a;x;y","b"\n"1,5","two\nlines"\n3,4\n')
    assert list(table.rows()) == [(3, ["1,5", "two\nlines"]), (4, ["3", "4"])]
    assert not table.has_comma_decimals


def test_keys_are_composed_and_there_is_one_row_of_each(tmp_path):
    decomposed = unicodedata.normalize("NFD", "José")
    table = read(tmp_path / "t.csv", f"name,skin\n{decomposed},fair\n")
    assert table.keyed("name") == {"José": {"name": "José", "skin": "fair"}}
    with pytest.raises(SourceError, match=r"line 4 column 1 repeats the 'name' of line 2;") as e:
        read(tmp_path / "t.csv", f"name,skin\nJosé,1\nx,2\n{decomposed},3\n").keyed("name")
    assert "Jos" not in str(e.value)
    with pytest.raises(SourceError, match=r"line 2 column 2 is of nobody"):
        read(tmp_path / "t.csv", "name,skin\nx,\n").keyed("skin")


def test_lines_of_a_list(tmp_path):
    file = file_of(tmp_path / "l.txt", "\ufeffa/1 \r\n\r\nJosé/1\r\n".encode("utf-16"))
    assert [line for line in file.lines() if line[1]][-1] == (3, "José/1")


@given(st.lists(st.lists(st.text("aé,;\"'\t \n", max_size=4), min_size=2, max_size=2), max_size=4))
def test_what_the_csv_module_writes_comes_back(tmp_path_factory, rows):
    import csv

    file = tmp_path_factory.mktemp("t") / "t.csv"
    with open(file, "w", newline="", encoding="utf-16") as handle:
        writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
        writer.writerows([["one", "two"], *rows])
    cells = [[cell.strip() for cell in row] for row in rows]
    table = Table(UserFile("k", str(file), "w"))
    assert [row for _, row in table.rows()] == [row for row in cells if any(row)]


def test_names_of_files_are_compared_in_one_spelling():
    for name in ("./a/b.jpg", "a\\b.jpg", "a//b.jpg", " a/b.jpg"):
        assert named_as(name) == "a/b.jpg"
    assert named_as(unicodedata.normalize("NFD", "José/1.jpg")) == "José/1.jpg"


class Named:
    """A source of which only the names of its people are asked."""

    names = ("José", "Zoë")
    labels = np.array([0, 1])


def genders(file: Path):
    recipe = PersonalizationConfig(genders=str(file))
    return prompt_request(recipe, ["José", "Zoë"], "", None, Naming()).genders


READERS = {
    "genders": (genders, SourceError),
    "attributes": (
        lambda file: read_labels(IdentitiesConfig(attributes=str(file), attribute="skin"), Named()),
        PlanError,
    ),
    "oversample": (lambda file: oversample_sha256(str(file)), ConfigError),
    "pairs": (lambda file: read_lfw(file), SourceError),
}
"""Other files of users, each with the kind of its error."""
CONTENTS = {
    "genders": "name,gender\nJosé,male\nZoë,female\n",
    "attributes": "name,skin\nJosé,fair\nZoë,dark\n",
    "oversample": "José/1\nZoë/1\n",
    "pairs": "1\nJosé 1 2\nJosé 1 Zoë 2\n",
}


@pytest.mark.parametrize("name", READERS)
def test_every_file_of_a_user_is_read_alike(tmp_path, name):
    reader, error = READERS[name]
    file = tmp_path / "file"
    answers = []
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes(CONTENTS[name].encode(encoding))
        answers.append(str(reader(file)))
        file.write_bytes(unicodedata.normalize("NFD", CONTENTS[name]).encode(encoding))
        answers.append(str(reader(file)))
    assert len(set(answers)) == 1
    file.write_bytes(CONTENTS[name].encode("cp1252"))
    with pytest.raises(error, match=r"file line \d is no UTF-8, but may be cp1252") as caught:
        reader(file)
    assert "\n" not in str(caught.value)
