"""Tables of groups: by key or by person, strict, and silent about names."""

from __future__ import annotations

import pytest

from factory.errors import SourceError
from factory.recognition.group_table import read_groups

KEYS, PEOPLE = ("Zoë/1", "b/1"), ("Zoë", "b")


def test_by_person_or_by_key_in_any_order_of_columns(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("person,group\nZoe\u0308,x\nb,y\n", encoding="utf-8")
    assert read_groups(str(file)).of(KEYS, PEOPLE) == ("x", "y")
    file.write_text("group;key\nx;b/1\n", encoding="utf-8")
    table = read_groups(str(file))
    assert table.by == "key"
    assert table.of(KEYS, (None, None)) == (None, "x")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("person,color\na,x\n", "line 1 has 2 columns, other ones"),
        ("person,key,group\na,b,x\n", "line 1 has 3 columns, other ones"),
        ("person,group\na,x\na,y\n", "line 3 column 1 repeats the 'person' of line 2"),
        ("person,group\nAnn,\n", "line 2 has an empty group"),
        ("person,group\n,x\n", "line 2 column 1 is of nobody"),
    ],
)
def test_anything_else_is_refused_in_one_line_without_names(tmp_path, text, line):
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(SourceError) as caught:
        read_groups(str(file))
    message = str(caught.value)
    assert message.startswith("source.groups: ")
    assert line in message
    assert "Ann" not in message
    assert message.endswith("; want a CSV with two columns, key or person, and group")


def test_a_table_of_other_people_is_refused(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("person,group\nsomebody,x\n")
    with pytest.raises(SourceError, match="none of the 2 images of the pairs is in it by person;"):
        read_groups(str(file)).of(KEYS, PEOPLE)
    with pytest.raises(SourceError, match=r"nobody is named in a \.bin"):
        read_groups(str(file)).of(("000000", "000001"), (None, None))
