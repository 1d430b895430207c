"""What an audit establishes, and that nothing is published which it does not support."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from factory import checkpoint
from factory.config import AuditConfig, Config, JudgeConfig
from factory.errors import LeakError, YieldError
from factory.evaluation.leakage import Audit
from factory.evaluation.metrics.release import AuditVerdict, KeptCounts
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.verdict import (
    NO_JUDGE,
    audit_lines,
    not_established,
    refuse_to_publish,
    verdict,
    within_limit,
)
from factory.evaluation.yardstick import DoubleLabel
from factory.execution.inline import run_units
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord
from factory.provenance.networks import records_of
from factory.records import Counts
from factory.release import build
from factory.shards import layout
from factory.store import LocalStore
from tests.measured import LEAKAGE, full_metrics, leaks

ENOUGH = replace(LEAKAGE, faces=replace(leaks(3, 40, []), num_strangers=1000))
"""An audit by a thousand images, whose judge sees 75 % (53 % to 89 %) of known people."""


COUNTS = Counts(200, 400, 30, 570, 0, {"blurred": 100, "low_own_cosine": 300, "near_real": 170})


def test_judge_power_decides_at_the_lower_end_of_its_interval():
    assert not_established(AuditConfig(min_power=0.53), ENOUGH) == ""
    reason = not_established(AuditConfig(min_power=0.54), ENOUGH)
    assert "75.0% of images (95 % interval 53.0% to 89.0%, by 60 pairs of 20 people's" in reason
    assert "audit.min_power wants 54% at the lower end" in reason


def test_judge_power_that_nobody_can_measure_establishes_nothing():
    alone = replace(ENOUGH, power=NotMeasured("n/a: nobody has two images"))
    assert not_established(AuditConfig(min_power=0), alone) == "nobody has two images"
    assert not_established(AuditConfig(min_power=0), replace(ENOUGH, power=None))
    assert not_established(AuditConfig(), NotMeasured(NO_JUDGE)) == NO_JUDGE.removeprefix("n/a: ")


@pytest.mark.parametrize(("images", "told"), [(999, False), (1000, True)])
def test_a_limit_wants_as_many_images_as_it_lets_pass_one(images, told):
    few = replace(ENOUGH, faces=replace(ENOUGH.faces, num_strangers=images))
    reason = not_established(AuditConfig(), few)
    assert (reason == "") == told
    if not told:
        assert "999 images of real people cannot tell" in reason
        assert "1000 can, or audit.leak_fpir=0.002" in reason


def test_a_judge_of_weak_judge_power_is_refused_at_publish_unless_accepted():
    metrics = full_metrics()
    weak = AuditVerdict(True, False, "the judge sees nobody", 0.5, False)

    def publish(**audited):
        refuse_to_publish(replace(metrics, **audited), COUNTS)

    publish(leakage=allowed())
    with pytest.raises(LeakError, match=r"not established: the judge sees nobody; .*accept_weak"):
        publish(audit=weak, leakage=allowed())
    publish(audit=replace(weak, accepted=True), leakage=allowed())
    publish(audit=replace(weak, real_people=False), leakage=allowed())
    with pytest.raises(LeakError, match=r"audit\.max_leak_fraction"):
        publish(audit=replace(weak, accepted=True))


def test_a_release_of_which_too_little_was_kept_is_not_published():
    """30 of 600 faces are 5 %; the line says figure, limit, what dropped most, and what to do."""
    metrics = replace(full_metrics(), leakage=allowed(), audit=AuditVerdict(False, True, "", 0, 0))

    def publish(limit):
        refuse_to_publish(replace(metrics, counts=KeptCounts(200, 0.05, 0, limit)), COUNTS)

    publish(None)
    publish(0.05)
    with pytest.raises(YieldError) as refused:
        publish(0.0501)
    line = str(refused.value)
    assert line.startswith(
        "filters.min_kept_fraction: 30 of 600 faces were kept (5.0%), want at least 5%; dropped "
        "most by low_own_cosine 300, near_real 170, blurred 100; the release is sealed and not"
    )
    assert "filters.min_kept_fraction=null" in line
    assert "\n" not in line


def allowed():
    """An audit without leaks."""
    none = leaks(0, 40, [])
    return replace(LEAKAGE, faces=none, classes=none, near_copies=none)


def test_a_verdict_knows_whether_photographs_are_in_the_source():
    config = replace(Config(), judge=JudgeConfig(checkpoint=None))
    assert not verdict(config, ENOUGH, None).real_people
    photographs = replace(config, source=replace(config.source, real_people=True))
    assert verdict(photographs, ENOUGH, None) == AuditVerdict(True, True, "", 0.5, False)
    weak = replace(photographs, audit=AuditConfig(min_power=0.9, accept_weak_judge=True))
    assert not verdict(weak, ENOUGH, None).established
    assert verdict(weak, ENOUGH, None).accepted


@pytest.mark.parametrize("role", ["source", "inquiry", "gallery"])
def test_a_verdict_is_of_the_source_of_the_plan_whatever_a_config_says_today(role):
    config = replace(Config(), judge=JudgeConfig(checkpoint=None))
    planned = SourceRecord("folder", "f", 12, 6, role == "source")
    beside = SourceRecord("folder", "q", 5, 2, True, role=role)
    lineage = Lineage((planned, beside), ())
    today = replace(config, source=replace(config.source, real_people=role != "source"))
    assert verdict(today, ENOUGH, lineage).real_people == (role == "source")


def test_a_judge_is_named_without_where_it_lies_with_what_it_shares(tmp_path):
    rendered = Config()
    metadata = checkpoint.read_metadata("starter:judge", "recognizer", "")
    faces = records_of(metadata)[0].learned_from[0]
    part = replace(faces, fingerprint=faces.fingerprint + "[0:3]")
    learned = Lineage((), (NetworkRecord("generator", "ab", (part,)),))
    found = verdict(rendered, ENOUGH, learned)
    assert (found.judge, found.judge_sha256) == ("starter:judge", metadata["sha256"])
    assert (
        found.judge_shares
        == "it learned from a source that networks of the release learned from too"
    )
    other = replace(part, fingerprint="other")
    apart = Lineage((), (NetworkRecord("generator", "ab", (other,)),))
    assert verdict(rendered, ENOUGH, apart).judge_shares == ""
    same = Lineage((), (NetworkRecord("recognizer", metadata["sha256"], (other,)),))
    assert "one of the networks" in verdict(rendered, ENOUGH, same).judge_shares
    shutil.copytree(checkpoint.STARTER / "judge", tmp_path / "jury")
    named = replace(rendered, judge=JudgeConfig(checkpoint=str(tmp_path / "jury")))
    assert verdict(named, ENOUGH, apart).judge == "jury"


def test_after_an_audit_that_establishes_nothing_no_more_is_said_than_it_sees():
    assert within_limit(Config(), ENOUGH).endswith("leaks are within audit.max_leak_fraction")
    weak = replace(Config(), audit=AuditConfig(min_power=0.9))
    assert "is not established" in within_limit(weak, ENOUGH)


class Named:
    """A source whose images have names."""

    keys = ("Ricky/1.png", "Bart/1.png", "Ann/1.png")


def test_the_owner_is_told_the_names_of_double_labels_and_nobody_else_is():
    audit = Audit(ENOUGH, [], [(0, 2, 0.6)], (DoubleLabel(0, 1, 0.999),))
    lines = audit_lines(Config(), Named(), audit, None)
    assert "one person by two labels: Ricky/1.png and Bart/1.png, 0.999" in lines
    assert "nearest of two people: Ricky/1.png and Ann/1.png, 0.600" in lines
    assert any("established: the judge sees known people" in line for line in lines)
    assert any("nobody real is in the source" in line for line in lines)
    weak = replace(Config(), audit=AuditConfig(min_power=0.9))
    assert any(
        line.startswith("not established: the judge")
        for line in audit_lines(weak, Named(), audit, None)
    )


def test_weak_judge_power_seals_a_release_and_acceptance_publishes_it_with_the_words(
    release_config, people, tmp_path
):
    """The whole way; a photograph under two names is counted, and nobody is named."""
    named = shutil.copytree(people, tmp_path / "named")
    (named / "person_9").mkdir()
    shutil.copy(named / "person_0/0.png", named / "person_9/0.png")
    refused = release_config(f"source.path={named}", "audit.accept_weak_judge=false")
    with pytest.raises(LeakError, match=r"audit: not established: 12 images of real"):
        build(refused, run_units, log=lambda line: None)
    store = layout.release_store(refused)
    assert store.exists(layout.SUMS)
    assert not store.exists(layout.SUCCESS)
    assert not LocalStore(refused.store.url).exists("tiny/latest.json")
    assert "not established: 12 images" in store.get(layout.CARD).decode()
    leakage = json.loads(store.get("metrics/leakage.json"))
    assert leakage["double_labels"] == {"count": 1, "cosines": pytest.approx([1.0])}
    assert leakage["faces"]["num_strangers"] == 12
    assert not json.loads(store.get("metrics/audit.json"))["established"]
    build(release_config(f"source.path={named}"), run_units, log=lambda line: None)
    assert store.exists(layout.SUCCESS)
    for name in (layout.CARD, layout.REPORT, layout.CROISSANT, "metrics/audit.json"):
        text = store.get(name).decode()
        assert "accept" in text, name
        assert "person_" not in text, name
