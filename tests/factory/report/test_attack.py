"""Sentences on an attack: what was found, against what, and what could not have been seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.evaluation.metrics.attack import FalseAlarms
from factory.evaluation.metrics.values import Interval
from factory.report.attack import CAVEATS, HEADS, lines, rows, sentences, verdict
from tests.measured import attack


def test_an_attack_that_tells_members_apart_names_its_best_score():
    assert verdict(attack()) == (
        "Members can be told from held-out people: denoising loss does so with an AUC of 0.900 "
        "(95 % interval 0.850 to 0.950); shuffled sides come as far by any score with a chance of "
        "0.001."
    )


def test_an_attack_that_finds_nothing_says_what_it_could_have_seen():
    nothing = replace(attack(), finding="not_told_apart")
    assert verdict(nothing) == (
        "Members cannot be told from held-out people by any of 2 scores: every 95 % interval of "
        "the AUC holds .5. With 80 and 22 people an AUC of 0.69 or more would have been seen four "
        "times of five; a smaller one stays unseen."
    )


def test_an_attack_between_the_two_is_undecided():
    first, *others = attack().scores
    found = replace(attack(), finding="undecided", scores=[replace(first, chance=0.2), *others])
    assert verdict(found).startswith("Undecided: 1 of 2 scores leave .5 out")
    assert "with a chance of 0.200; more people would decide it." in verdict(found)


@pytest.mark.parametrize("finding", ["told_apart", "not_told_apart"])
def test_an_attack_on_sides_that_differ_by_themselves_says_so(finding):
    *others, blind = attack().scores
    far = replace(blind, auc=0.8, interval=Interval(0.7, 0.9), chance=0.002)
    text = verdict(replace(attack(), finding=finding, scores=[*others, far]))
    assert text.endswith(
        "The two sides differ without the generator too (brightness, AUC 0.800, 0.700 to 0.900), "
        "so only what is farther from .5 than that can be its doing."
    )


def test_an_attack_that_is_a_control_is_not_read_as_a_finding():
    """Wherever its verdict stands, which evidence gives alone."""
    told = verdict(replace(attack(), membership="contradicted"))
    assert told == f"{CAVEATS['contradicted']} {verdict(attack())}"
    assert told.startswith("A control, not a finding about those the generator learned from")
    unknown = verdict(replace(attack(), membership="unrecorded"))
    assert unknown.startswith("That the generator learned from the members, and from nobody held")
    assert "records say that it learned from the members" in sentences(attack())[0]


def test_an_attack_without_a_judge_says_whose_cosines_they_are():
    told = sentences(replace(attack(), space="recognizer"))[0]
    assert told.endswith(
        "by the recognizer that conditions the generator, because there is no judge."
    )


def test_an_attack_says_which_rate_it_could_resolve():
    assert sentences(attack())[1] == (
        "A false positive rate of 1% cannot be resolved with 22 people held out: TPR is at 0 false "
        "alarms of 22, a rate below 13.6% with 95 % confidence (rule of three)."
    )
    many = replace(attack(), false_alarms=FalseAlarms(0.01, 2, 0.01, 0.0315, True))
    assert sentences(many)[1].startswith("TPR is at a false positive rate of 1% (2 false alarms")


def test_an_attack_counts_copies_and_draws_at_nobody():
    *_, copies, free = sentences(attack())
    assert copies.endswith("3 of 640 at members, 1 of 176 at people held out.")
    assert free == (
        "Of 128 draws at nobody 101 are nearest to a member (95 % interval 90 to 110), by chance "
        "about 100; 2 nearly copy a real image."
    )


def test_an_attack_has_a_row_for_each_score():
    assert [len(row) for row in rows(attack())] == [len(HEADS)] * 4
    assert lines(attack())[0].split()[:2] == ["score", "asks"]
    assert lines(attack())[-1] == verdict(attack())
