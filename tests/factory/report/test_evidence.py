"""Every question has a figure of the release or "not measured", and follows what was measured."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from factory.evaluation.metrics.release import Balance, GroupBalance
from factory.evaluation.metrics.values import NotMeasured
from factory.records import Unit
from factory.report.attack import verdict
from factory.report.evidence import evidence
from factory.report.page import render_card
from factory.shots.plan import Ancestor, Derived, Plan
from tests.factory.report.test_page import CONFIG
from tests.factory.report.test_privacy import CLEAN, OWN, REAL, known, rendered
from tests.measured import bare_metrics, full_metrics, manifest
from tests.planned import REQUEST

PLAN = Plan(REQUEST, {}, [Unit(0, 0, 3, 42)])
FULL = full_metrics()
ARTICLES = [f"AI Act Art. 10(2)({letter})" for letter in "abcdefgh"]
ARTICLES += ["AI Act Art. 10(3)", "AI Act Art. 10(4)", "GDPR Art. 4(1)", "GDPR Art. 6"]
ARTICLES += ["GDPR Art. 5(1)(c)", "GDPR Art. 9", "GDPR Art. 7(3), 17", "GDPR recital 26"]


@pytest.mark.parametrize("metrics", [FULL, bare_metrics()], ids=["full", "bare"])
@pytest.mark.parametrize("descent", [OWN, None], ids=["told", "untold"])
def test_every_question_is_answered_by_a_figure_or_not_measured(metrics, descent):
    answers = evidence(PLAN, manifest(), known(metrics, descent))
    assert {article for article, _, _ in answers} >= set(ARTICLES)
    for article, question, answer in answers:
        assert question.endswith("?"), article
        figure = re.search(r"\d|not measured|not recorded|no quotas|no personal data", answer)
        assert figure, (article, answer)


def answer_of(question: str, metrics=FULL, plan=PLAN) -> str:
    (found,) = (a for _, q, a in evidence(plan, manifest(), known(metrics, OWN)) if question in q)
    return found


def with_groups(fraction: float):
    group = GroupBalance(2, fraction, None, 1.0, None, 0.3, 0.2)
    return replace(FULL, balance=Balance(None, {"women": group}))


def with_power(fraction: float):
    power = replace(FULL.leakage.power, fraction=fraction)
    return replace(FULL, leakage=replace(FULL.leakage, power=power))


@pytest.mark.parametrize(
    ("question", "changed", "shown"),
    [
        ("examined for biases", with_groups(0.25), "women 25.0%"),
        ("examined for biases", replace(FULL, balance=NotMeasured("n/a")), "not measured"),
        ("nobody can be identified", with_power(0.123), "12.3% of images"),
        (
            "nobody can be identified",
            replace(FULL, audit=replace(FULL.audit, established=False)),
            "audit not established",
        ),
        ("nobody can be identified", replace(FULL, leakage=NotMeasured("n/a")), "not measured"),
        ("suitable", replace(FULL, utility=None), "what they teach is not measured"),
        (
            "free of errors",
            replace(FULL, separability=bare_metrics().separability),
            "nearest two identities not measured",
        ),
        ("representative", replace(FULL, properties=bare_metrics().properties), "not measured"),
        ("setting of use", replace(FULL, diversity=bare_metrics().diversity), "yaw not measured"),
        ("assumed to measure", replace(FULL, similarity=bare_metrics().similarity), "not measured"),
    ],
)
def test_an_answer_changes_with_what_was_measured(question, changed, shown):
    assert shown in answer_of(question, changed)
    assert shown not in answer_of(question)


def test_personal_data_follow_the_plan_and_the_source():
    assert "0 real people" in answer_of("Are personal data in it")
    filled = Plan(REAL, {}, [Unit(0, 0, 3, 42)])
    assert answer_of("Are personal data in it", plan=filled) == "images of 2 real people"
    assert answer_of("can be identified", plan=filled).startswith("nothing for its 2 real people")
    assert answer_of("consent recorded").startswith("consent not recorded")
    assert "12 photographs" in answer_of("no more than needed")
    virtual = known(FULL, rendered())
    answers = {question: answer for _, question, answer in evidence(PLAN, manifest(), virtual)}
    (basis,) = (answer for question, answer in answers.items() if "consent recorded" in question)
    assert basis == "no personal data in the source"
    assert "0 photographs" in answers["Are personal data no more than needed?"]


def test_biometric_data_are_ruled_out_only_where_the_banner_does():
    question = "biometric data"
    assert answer_of(question, CLEAN) == "0 images of real people"
    doubtful = replace(CLEAN, audit=replace(CLEAN.audit, established=False, reason="no judge"))
    told = "0 images of real people; whether somebody real shows in it is not established: no judge"
    assert answer_of(question, doubtful) == told


def test_an_attack_is_told_where_one_was_run():
    assert answer_of("give people away") == verdict(FULL.attack)
    assert answer_of("give people away", replace(FULL, attack=None)) == "attack not measured"


def test_people_who_withdrew_are_told_where_a_version_was_made_without_them():
    assert answer_of("withdrew") == "0 people withdrew from this version when it was made"
    without = replace(PLAN, derived=Derived("withdrawal", (Ancestor("0.1.0", "h", "s"),)))
    told = "they are not in it: it is version 0.1.0 without them"
    assert answer_of("withdrew", plan=without) == told


def test_the_ledger_of_consent_is_told_by_counts():
    question = "is consent recorded"
    assert answer_of(question) == "consent not recorded (no source.consent)"
    signed = replace(OWN.sources[0], consent={"signed": 100, "contract": 2})
    metrics = known(FULL, replace(OWN, sources=(signed,)))
    asked = evidence(PLAN, manifest(), metrics)
    (answer,) = (answer for _, text, answer in asked if question in text)
    assert answer == "ledger of 102 of 102 people: 2 by contract, 100 by signed"


def test_the_card_has_them_as_one_table():
    card = render_card(CONFIG, PLAN, manifest(), known(FULL, OWN)).decode()
    for article, question, answer in evidence(PLAN, manifest(), known(FULL, OWN)):
        assert f"| {article} | {question} | {answer} |" in card
