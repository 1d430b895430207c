"""YAML as a tree of texts, and one line for each way to write it wrong."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.config.reading import Scalar, read_file, read_text
from factory.errors import ConfigError


def test_texts_stay_as_they_were_written():
    tree = read_text("a: 1.10\nb: 010\nc: 'x'  # why\nd: [yes, 2024_01]\ne:\n", "x")
    assert [tree[name].text for name in "abce"] == ["1.10", "010", "x", ""]
    assert [part.text for part in tree["d"]] == ["yes", "2024_01"]
    assert tree["c"] == Scalar("x", is_plain=False, comment="why")


def test_a_hash_without_space_is_no_comment():
    assert read_text("a: x#y  #z\n", "x")["a"] == Scalar("x#y", comment="z")


@pytest.mark.parametrize(("text", "null"), [("a: null", 1), ("a: ~", 1), ("a:", 1), ("a: '~'", 0)])
def test_no_value_is_told_from_a_text(text, null):
    assert read_text(text, "x")["a"].is_null == bool(null)


def test_an_empty_file_and_an_empty_section_mean_the_defaults(tmp_path, empty):
    for text in ("", "# nothing\n", "plan:\n", "plan:\n  # all commented out\n"):
        (tmp_path / "a.yaml").write_text(text)
        assert load(tmp_path / "a.yaml") == load(empty)


def test_anchors_and_merged_sections():
    tree = read_text("a: &one {x: 1, y: 2}\nb: {<<: *one, y: 3}\nc: *one\n", "x")
    assert {name: part.text for name, part in tree["b"].items()} == {"x": "1", "y": "3"}
    assert tree["c"] == tree["a"]


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfplan: {micro_batch: 3}\n")
    assert load(tmp_path / "a.yaml").plan.micro_batch == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plan:\n\tmicro_batch: 3\n", "a.yaml, line 2: a tab stands where YAML wants spaces"),
        ("plan: [unclosed\n", "a bracket is not closed"),
        ("plan:\n  a: b: c\n", "a.yaml, line 2: a colon stands where none can be"),
        ("plan: {a: 1}\nplan: {a: 2}\n", "plan: given again in {file}, line 2"),
        ("plan:\n  a: 1\n  a: 2\n", "plan.a: given again in {file}, line 3"),
        ("plan:\n  a: 1\n b: 2\n", "line 3: a line is indented otherwise"),
        ("- plan\n", "holds a list; want sections"),
        ("plan\n", "holds the text 'plan'; want sections"),
        ("plan: *other\n", "*NAME is used and &NAME stands nowhere"),
        ("plan: 'open\n", "a quote is not closed"),
        ("a: 1\n---\nb: 2\n", "begins a second document"),
        ("release: {title: @home}\n", "a value begins with a sign that YAML keeps for itself"),
        ("[a, b]: 1\n", "line 1: a list or section stands for a key"),
        ("plan:\n  micro_batch: 3\n  oops\n", "line 4: a line is neither `key: value`"),
    ],
)
def test_broken_yaml_is_one_line_that_says_what_and_where(tmp_path, text, message):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert message.replace("{file}", str(file)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such config file"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"release: {title: Jos\xe9}\n")
    with pytest.raises(ConfigError, match="want YAML as UTF-8 text"):
        read_file(tmp_path / "latin.yaml")
