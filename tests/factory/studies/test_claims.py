"""The rule, the arms, and every claim that is committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factory.config import ArmConfig, BoundConfig, ClaimConfig, load_claim
from factory.errors import ConfigError
from factory.studies import claims
from factory.studies.claims import (
    Resampled,
    _difference_of_people,
    decide,
    examine,
    measure,
    resampled_of,
    result_json,
    verdict_line,
)
from factory.studies.people_figures import roster

ROOT = Path(__file__).parents[3]
CLAIMS = sorted((ROOT / "configs/claims").glob("*.yaml"))


@pytest.mark.parametrize(
    ("better", "worse", "larger", "verdict"),
    [
        ([3, 4.1, 5], [1, 2, 3], True, "holds"),
        ([1, 2, 3], [3, 4.1, 5], True, "refuted"),
        ([1, 2, 3], [3, 4.1, 5], False, "holds"),
        ([3, 4, 1], [1, 2, 3], True, "not established"),  # one seed says otherwise
        ([1.1, 2.2, 3.1], [1, 2, 3], True, "refuted"),  # all seeds agree, by too little
        ([2, 3, 4.9], [1, 2, 3], True, "not established"),  # all seeds agree, by 0 to 2.6
        ([1, 1.9, 2], [2, 2, 3], True, "not established"),  # a loss of 0 to 1.9 by four seeds of 3
        ([1, 2, 3], [1, 2.1, 3], True, "refuted"),  # no difference, told to .2
        ([5, 5, 5], [1, 1, 1], True, "not established"),  # measured once
    ],
)
def test_the_rule(better, worse, larger, verdict):
    assert decide(better, worse, larger, min_difference=0.5).verdict == verdict


def test_people_widen_the_interval_that_decides():
    """Two sides differ by .02 at every seed, and by -.01 to .05 with other people."""
    better, worse = [0.92, 0.93, 0.921], [0.90, 0.91, 0.90]
    alone = decide(better, worse, True, 0.01)
    assert (alone.verdict, alone.interval_over) == ("holds", "seeds")
    people = Resampled(np.random.default_rng(0).normal(0.02, 0.015, 200), 50)
    both = decide(better, worse, True, 0.01, people)
    assert (both.verdict, both.interval_over) == ("not established", "seeds and people")
    assert both.interval.low < -0.005 < 0.045 < both.interval.high
    assert both.detectable == pytest.approx(2.85 * 0.015, rel=0.1)


def test_the_same_people_are_resampled_on_both_sides():
    """A training leaves its figures in resamplings; what both sides share cancels."""
    shared = np.random.default_rng(1).normal(0, 0.1, 200)

    def metrics(shift):
        found = {"auc": 0.8 + shift, "resampled": "people", "num_people": 40}
        return {
            "heldout": found,
            "resampled": {"heldout": {"auc": (0.8 + shift + shared).tolist()}},
        }

    one, two = resampled_of("heldout.auc", metrics(0.1)), resampled_of("heldout.auc", metrics(0))
    found = _difference_of_people([one], [two])
    assert found.num_people == 40
    assert found.values_R == pytest.approx(np.full(200, 0.1))
    assert resampled_of("pairs.accuracy", metrics(0)) is None
    assert _difference_of_people([one, None], [two, two]) is None
    assert _difference_of_people([one], [Resampled(two.values_R, 41)]) is None


def test_the_effect_size_is_cohens_d():
    decision = decide([2.0, 4.0], [0.0, 2.0], True, 0.0)
    assert decision.differences == [2.0, 2.0]
    assert decision.interval is None
    assert decision.effect_size == pytest.approx(2.0 / 2**0.5)
    once = decide([2.0, 2.0], [0.0, 1.0], True, 0.0)
    assert once.effect_size is None
    assert "measured once" in once.remark


@pytest.fixture
def claim(tmp_path):
    (tmp_path / "some.yaml").write_text("{}\n")
    some = str(tmp_path / "some.yaml")
    return ClaimConfig(
        finding="Two are better than one",
        figure="heldout.auc",
        better="two",
        worse="one",
        seeds=(7, 8),
        out=str(tmp_path / "claims"),
        arms={
            "one": ArmConfig(config=some),
            "two": ArmConfig(
                config=some,
                set=("source.kind=webdataset", "source.path={release}"),
                release=some,
                release_set=("identities.num_virtual=3",),
            ),
        },
    )


def test_each_arm_is_measured_with_each_seed_on_its_own_release(claim):
    built, trained = [], []

    def build(config):
        built.append(config)
        return Path(config.store.url) / "made"

    def train(config):
        trained.append(config)
        seed = config.training.seed
        return {"heldout": {"auc": 0.9 + seed / 1e4 if config.source.kind == "webdataset" else 0.8}}

    lines = []
    result = examine("pair", claim, train, build, lines.append)
    assert result.verdict == "holds"
    assert result.figures == {"one": [0.8, 0.8], "two": [0.9 + 7 / 1e4, 0.9 + 8 / 1e4]}
    assert [config.release.seed for config in built] == [7, 8]
    assert {config.identities.num_virtual for config in built} == {3}
    assert [config.training.seed for config in trained] == [7, 8, 7, 8]
    assert len({config.training.out for config in trained}) == 4
    assert trained[2].source.path == f"{claim.out}/pair/two/seed-7/release/made"
    assert len(lines) == 4
    assert "holds" in verdict_line(result)
    written = result_json(result)
    assert (written["claim"], written["seeds"], written["verdict"]) == ("pair", [7, 8], "holds")
    assert written["mean_difference"] == pytest.approx(0.10075)
    assert written["interval"]["low"] > 0.1
    assert "decision" not in written


def test_a_figure_that_is_not_there_is_named(claim):
    with pytest.raises(ConfigError, match=r"figure: got 'heldout.auc'.*want a name in pairs"):
        examine("pair", claim, lambda config: {"pairs": {}}, lambda config: Path(), print)


def test_what_is_not_built_is_not_run(claim):
    waiting = replace(claim, not_yet="nobody built it")
    result = examine("pair", waiting, None, None, print)
    assert (result.verdict, result.why) == ("not yet", "nobody built it")
    assert verdict_line(result).startswith("not yet")
    assert result_json(result)["verdict"] == "not yet"


def claimed(claim, figures, **changes):
    """The result of a claim whose arms give these figures at each seed."""
    arms = {name: replace(arm, set=(), release=None) for name, arm in claim.arms.items()}
    runs = iter(
        [dict(zip(figures, values, strict=True)) for values in zip(*figures.values(), strict=True)]
    )
    return examine("c", replace(claim, arms=arms, **changes), lambda c: next(runs), None, len)


@pytest.mark.parametrize(
    ("energy", "verdict"),
    [
        ([0.9, 0.9], "holds"),
        ([0.25, 0.24], "refuted"),  # it wins, and is not what the claim is about
        ([0.9, 0.24], "not established"),
        ([0.5, 0.9], "holds"),
        ([0.9, 1.1], "not established"),
        ([0.9, float("nan")], "not established"),
    ],
)
def test_a_win_counts_within_the_bounds_of_the_claim(claim, energy, verdict):
    """The order of arms is one, two; both win as claimed and only the better one is bounded."""
    bound = BoundConfig(figure="energy", low=0.5, high=1.0)
    figures = {"apart": [0.8, 0.8, 0.9, 0.91], "energy": [0.0, 0.0, *energy]}
    result = claimed(claim, figures, figure="apart", bounds=[bound])
    assert result.verdict == verdict
    assert bool(result.decision.broken) == (verdict != "holds")
    assert ("want at least 0.5 and at most 1" in verdict_line(result)) == (verdict != "holds")
    assert result.further["energy"]["one"] == [0.0, 0.0]


def test_a_loss_within_the_bounds_is_a_loss(claim):
    bound = BoundConfig(figure="energy", low=0.5)
    figures = {"apart": [0.8, 0.8, 0.7, 0.71], "energy": [1, 1, 1, 0.2]}
    result = claimed(claim, figures, figure="apart", bounds=[bound])
    assert result.verdict == "refuted"


def test_prices_are_printed_for_both_sides(claim):
    figures = {"apart": [0.8, 0.8, 0.9, 0.9], "own": [0.6, 0.7, 0.3, 0.4]}
    result = claimed(claim, figures, figure="apart", prices=("own",))
    assert "price: own 0.350 against 0.650" in verdict_line(result)
    assert result_json(result)["further"]["own"] == {"one": [0.6, 0.7], "two": [0.3, 0.4]}


def test_the_claim_of_packing_tells_its_price():
    claim = load_claim(ROOT / "configs/claims/packing.yaml")
    assert claim.prices == ("drawn.own_cosine", "drawn.kept_fraction")
    assert "price" in claim.finding


def test_a_roster_is_decided_without_writing(release_config, tmp_path):
    config = release_config("identities.proposal=prototypes", "identities.max_cosine=1.0")
    before = sorted(tmp_path.rglob("*"))
    measured = roster(config)
    assert measured.num_virtual == 6
    assert -1 < measured.nearest_other.mean < 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_figure_of_a_roster_is_found_by_its_dotted_name(claim, release_config, monkeypatch):
    arm = ArmConfig(config="some.yaml")
    monkeypatch.setattr(claims, "load", lambda path, changes: release_config(*changes))
    of_roster = replace(claim, measures="roster", figure="nearest_other.mean")
    found = measure(of_roster, arm, "out", 3, None, None)
    assert list(found) == ["nearest_other.mean"]
    assert (
        found["nearest_other.mean"] == roster(release_config("release.seed=3")).nearest_other.mean
    )
    with pytest.raises(ConfigError, match=r"'nearest_other\.low'.* want a name in num_virtual"):
        measure(replace(of_roster, figure="nearest_other.low"), arm, "out", 3, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not_yet: x}", "finding: nothing given"),
        ("{finding: x}", "better: got ''; want one of the arms .there are none"),
        (
            "{finding: x, better: a, worse: a, arms: {a: {set: ['source.path={release}']}}}",
            "arms.a.set: .* has no release",
        ),
        (
            "{finding: x, better: a, worse: b, arms: {a: {}}}",
            "worse: got 'b'; want one of the arms a",
        ),
        ("{finding: x, better: a, worse: b, arms: {a: {}, b: {}}, seeds: [1]}", "seeds: got 1"),
        (
            "{finding: x, better: a, worse: b, arms: {a: {}, b: {}}, bounds: [{figure: f}]}",
            r"bounds\[0\]: got 'f' from None to None; want a figure with low, high or both",
        ),
        ("{finding: x, bettr: a}", "bettr"),
        ("{finding: x, measures: luck}", "measures"),
    ],
)
def test_claims_are_checked_before_anything_runs(tmp_path, text, message):
    (tmp_path / "claim.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError, match=message):
        load_claim(tmp_path / "claim.yaml")
