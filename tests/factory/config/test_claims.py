"""A claim is refused before anything is run, and its inputs reach its arms."""

from __future__ import annotations

import pytest

from factory.config import load_claim
from factory.errors import ConfigError

CLAIM = """
finding: a is better
better: a
worse: b
inputs: {faces: f.tar}
arms:
  a: {set: ["source.path={faces}", "source.heldout={release}"], release: r.yaml}
  b: {release: r.yaml, release_set: ["source.path={faces}"]}
"""


@pytest.fixture
def claim(tmp_path):
    """Function of changes to CLAIM's text -> arguments -> the claim."""

    def make(*arguments: str, **changes: str):
        text = CLAIM
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "a.yaml").write_text(text)
        return load_claim(tmp_path / "a.yaml", list(arguments))

    return make


def test_inputs_stand_in_the_arms_and_the_release_is_left_open(claim):
    arms = claim().arms
    assert arms["a"].set == ("source.path=f.tar", "source.heldout={release}")
    assert arms["b"].release_set == ("source.path=f.tar",)
    assert claim("inputs.faces=g").arms["b"].release_set == ("source.path=g",)


def test_an_input_that_nobody_gave_is_named(claim):
    with pytest.raises(ConfigError, match=r"^arms.a.set: names {faces}; give inputs.faces=\.\.\.$"):
        claim(faces="other", **{"{other}": "{faces}"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["better=c"], "better: got 'c'; want one of the arms a, b"),
        (["seeds=[1]"], "seeds: got 1; want at least two"),
        (["finding="], "finding: nothing given"),
        (["arms.a.release=null"], r"arms.a.set: names \{release\}, but the arm has no release"),
        (["arms.b.release_set=['x.y={release}']"], r"arms.b.release_set: names \{release\}"),
        (["min_difference=-1"], "min_difference: got -1.0; want at least 0"),
    ],
)
def test_refusals(claim, arguments, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        claim(*arguments)


def test_what_is_not_yet_needs_no_arms(claim):
    assert claim("not_yet=no data", "better=", "worse=").not_yet == "no data"
