"""No JSON that is written holds NaN or Infinity; what is left out has its reason beside it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.store.json_text import json_text

ROOT = Path(__file__).parents[3]
SOURCES = [
    file
    for folder in ("factory", "jobs", "cluster")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "json.dump" in file.read_text()
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_figure_that_is_no_number_is_null_with_its_reason():
    nan, inf = float("nan"), float("inf")
    written = json_text({"auc": nan, "b": {"fid": -inf, "c": 0.5, "d": None}, "roc": [[nan, 1.0]]})
    assert strict(written) == {
        "auc": None,
        "auc_note": "n/a: not a number",
        "b": {"fid": None, "fid_note": "n/a: infinite", "c": 0.5, "d": None},
        "roc": [[None, 1.0]],
        "roc_note": "n/a: not a number",
    }


def test_figures_of_a_list_have_their_reasons_under_its_key():
    nan, inf = float("nan"), float("inf")
    written = json_text({"by_level": [inf, 1.0, nan], "whole": [1.0, None], "deep": [{"a": [inf]}]})
    assert strict(written) == {
        "by_level": [None, 1.0, None],
        "by_level_note": "n/a: infinite; n/a: not a number",
        "whole": [1.0, None],
        "deep": [{"a": [None], "a_note": "n/a: infinite"}],
    }
    told = {"by_level": [nan], "by_level_note": "n/a: no faces"}
    assert strict(json_text(told)) == {"by_level": [None], "by_level_note": "n/a: no faces"}


def test_a_reason_that_is_given_stays():
    given_ = {"auc": float("nan"), "auc_note": "n/a: no impostor pairs"}
    assert strict(json_text(given_)) == {"auc": None, "auc_note": "n/a: no impostor pairs"}
    turned = dict(reversed(given_.items()))
    assert strict(json_text(turned)) == {"auc": None, "auc_note": "n/a: no impostor pairs"}


@given(VALUES)
def test_whatever_is_written_is_json(value):
    strict(json_text(value))


@given(VALUES.filter(lambda value: "NaN" not in repr(value)))
def test_bytes_of_finite_values_are_those_of_json(value):
    try:
        plain = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    except ValueError:
        return
    assert json_text(value, indent=1, sort_keys=True) == plain


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_everything_else_that_writes_json_refuses_nan(file):
    """A figure goes through json_text; digests and records of ours hold none, and would raise."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dump", "json.dumps"):
            settings = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert settings.get("allow_nan") == "False", f"{file}, line {node.lineno}"
