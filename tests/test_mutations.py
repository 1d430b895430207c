"""The list of mutations fits the code, and what tries them tells killed ones from survivors."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from tests import mutations
from tests.mutations import ROOT, main, named_by_file, outcomes_of, read, table

LISTED = read()
ROOMS = {
    *("recognition", "diffusion", "editing", "text_to_image"),
    *("identities", "quality", "evaluation", "studies"),
    *("rendering", "seeds", "shards"),
}
OF_THE_ISSUE = {
    "mirror_not_summed",
    "prior_term_left_out",
    "prior_prompt_left_out",
    "long_skips_cut",
    "dropout_of_conditions_off",
    "pca_three_times_as_wide",
    "leak_limit_at_the_median_of_strangers",
    "threshold_chosen_on_the_fold_it_scores",
    "region_unweighted",
}
"""The nine that once left every test green (issue 24)."""


@cache
def functions_of(file: str) -> set[str]:
    body = ast.parse((ROOT / file).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_room_of_the_mathematics_is_listed_and_so_are_the_nine_of_the_issue():
    assert len(LISTED) >= 80
    assert {one.room for one in LISTED} >= ROOMS
    assert {one.name for one in LISTED} >= OF_THE_ISSUE


def test_names_are_different():
    assert [name for name, count in Counter(one.name for one in LISTED).items() if count > 1] == []


@pytest.mark.parametrize("one", LISTED, ids=lambda one: one.name)
def test_an_entry_fits_the_code_as_it_is(one):
    """Its text is there once, what comes in its place is Python, its tests are its room's own."""
    source = (ROOT / one.file).read_text()
    assert source.count(one.text) == 1, f"{one.file} has {one.text!r} not exactly once"
    assert one.text != one.replacement
    ast.parse(one.applied(source))
    assert one.file.split("/")[1].removesuffix(".py") == one.room
    assert one.why
    for path in one.test_paths:
        file, _, function = path.partition("::")
        assert file.startswith((f"tests/factory/{one.room}/", f"tests/factory/test_{one.room}.py"))
        assert not function or function in functions_of(file), path


MARGIN = next(one for one in LISTED if one.name == "arcface_margin_subtracted")


def test_a_text_must_be_there_once():
    source = (ROOT / MARGIN.file).read_text()
    assert MARGIN.applied(source) == source.replace(MARGIN.text, MARGIN.replacement)
    assert replace(MARGIN, text="nowhere at all").applied(source) is None
    assert replace(MARGIN, text="margin").applied(source) is None


def test_a_file_that_one_entry_names_wholly_is_tried_wholly():
    parts = [replace(MARGIN, tests=(f"r/test_a.py::test_{n}",)) for n in "yx"]
    assert named_by_file(parts) == {
        "tests/factory/r/test_a.py": [
            "tests/factory/r/test_a.py::test_x",
            "tests/factory/r/test_a.py::test_y",
        ]
    }
    whole = replace(MARGIN, tests=("r/test_a.py",))
    assert named_by_file([*parts, whole]) == {"tests/factory/r/test_a.py": [*whole.test_paths]}


def test_nothing_to_try_is_a_mistake(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "no such entry"])
    assert "no entry has this room and this name" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_outcomes_are_told_apart(monkeypatch, tmp_path):
    """One of each kind; the tree itself stays as it is."""
    before = (ROOT / MARGIN.file).read_text()
    tests = tmp_path / "elsewhere"
    cases = {
        "killed": MARGIN,
        "survived": replace(MARGIN, text="cos(theta) - m of the", replacement="what it is of the"),
        "text not found": replace(MARGIN, text="nowhere at all"),
        "did not run": replace(MARGIN, replacement="- sine_N * ("),
        "failed without it": replace(MARGIN, tests=(str(tests),)),
    }
    listed = [replace(one, name=name) for name, one in cases.items()]
    found = outcomes_of(listed, jobs=1)
    assert {one.name: one.outcome for one in found} == {name: name for name in cases}
    assert (ROOT / MARGIN.file).read_text() == before
    assert "survived: recognition: survived" in table(found)
    monkeypatch.setattr(mutations, "LIMIT_S", 0.01)
    (late,) = outcomes_of([replace(MARGIN, tests=("recognition/test_quality.py",))], jobs=1)
    assert late.outcome in ("failed without it", "too slow")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_no_mutation_survives(capsys, tmp_path):
    """All entries: 136 processor seconds (2026-11-27), and ten more to start each of two copies."""
    code = main(["--json", str(tmp_path / "outcomes.json")])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0, "\n".join(line for line in lines if not line.startswith("killed "))
