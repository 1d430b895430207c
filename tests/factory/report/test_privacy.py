"""Who is in a release: no more is claimed than its audit and its lineage support."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.config import EditingConfig
from factory.evaluation.metrics.lineage import lineage_metrics
from factory.evaluation.metrics.release import Metrics
from factory.evaluation.metrics.values import NotMeasured
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord
from factory.records import Unit
from factory.report.learned import learned, unseen
from factory.report.page import render_card, render_page
from factory.report.privacy import banner, privacy
from factory.report.statements import statements
from factory.shots.plan import Plan
from factory.shots.request import SourceRelease, edit_request
from tests.factory.report.test_page import CONFIG
from tests.measured import LEAKAGE, bare_metrics, full_metrics, leaks, manifest, pictures
from tests.planned import REQUEST, request_with

NO_LEAKS = replace(
    LEAKAGE, faces=leaks(0, 40, []), classes=leaks(0, 3, []), near_copies=leaks(0, 40, [])
)
CLEAN = replace(full_metrics(), leakage=NO_LEAKS)
"""Established: a strong judge found nobody."""
RENDERED = replace(CLEAN, audit=replace(CLEAN.audit, real_people=False))
"""Nobody real is in the source."""
REAL = request_with(
    release={"allow_real": True}, plan={"fill_to": 3}, identities={"num_virtual": 1}
)


def source(fingerprint: str, *, real: bool = True) -> SourceRecord:
    return SourceRecord("folder", fingerprint, 204, 102, real, "CC-BY-4.0")


def lineage(*learned_from: SourceRecord, is_told: bool = True) -> Lineage:
    """Of a release planned with source f.., made by a generator of these faces."""
    generator = NetworkRecord("generator", "a" * 64, learned_from, is_told=is_told)
    return Lineage((source("f" * 64),), (generator,))


def known(metrics: Metrics, lineage: Lineage | None) -> Metrics:
    """The metrics of a release that descends from this."""
    return replace(metrics, lineage=lineage_metrics(lineage) if lineage else None)


OWN = lineage(source("f" * 64 + "[0:80]"))
"""The generator learned from a part of the source."""
LOOKED = Lineage(
    (*OWN.sources, SourceRecord("gallery", "9" * 64, 0, 0, True, role="gallery")),
    (*OWN.networks, NetworkRecord("detector", "d" * 64, license="Apache-2.0", is_told=False)),
    "CC-BY-4.0",
)
"""The same, with a detector and with people who are stayed away from."""


def edits_of(release: SourceRelease | None):
    """The request of a release of edits."""
    edits = edit_request(EditingConfig(method="drawn"), None, None)
    return replace(REQUEST, edits=edits, source=replace(REQUEST.source, release=release))


def test_nobody_exists_is_said_where_an_audit_with_judge_power_supports_it():
    text = privacy(REQUEST, known(CLEAN, OWN))
    assert text.startswith("Nobody in it exists, as far as the audit sees: every identity passed")
    assert "below 0.432. An independent recognizer looked at every face: 0 of 40" in text
    assert "(of real strangers' own images 0 of 500)" in text
    assert "It would see a known person in 75.0% of images (95 % interval 53.0% to 89.0%" in text
    assert banner(Plan(REQUEST, {}, []), known(CLEAN, OWN)).kind == "virtual"


def test_of_a_source_without_real_people_the_audit_informs():
    text = privacy(REQUEST, known(RENDERED, lineage(source("r", real=False))))
    assert "neither its source nor what its networks learned from holds a person who does" in text
    assert "so this informs and decides nothing" in text


@pytest.mark.parametrize(
    ("metrics", "descent", "reason"),
    [
        (bare_metrics(), OWN, "nobody looked."),
        (CLEAN, None, "what the networks that made it learned from is not recorded."),
        (RENDERED, None, "what the networks that made it learned from is not recorded."),
        (CLEAN, lineage(is_told=False), "what its generator learned from is not recorded."),
        (CLEAN, Lineage((), ()), "what its networks learned from is not recorded."),
        (
            RENDERED,
            lineage(source("f" * 64), source("e" * 64)),
            "its networks also learned from 204 photographs of 102 people who are not in",
        ),
        (full_metrics(), OWN, "3 of 40 faces are too near to somebody real, more than the 1.00%"),
    ],
)
def test_else_it_is_not_established_with_the_reason(metrics, descent, reason):
    text = privacy(REQUEST, known(metrics, descent))
    assert text.startswith("Every identity passed a gate that keeps its cosine")
    assert f"whether its faces show somebody real is not established: {reason}" in text
    assert "Nobody in it exists" not in text
    first = banner(Plan(REQUEST, {}, []), known(metrics, descent))
    assert first.kind == "open"
    assert reason.removesuffix(".") in first.text


def test_a_release_that_was_published_by_acceptance_says_so():
    weak = replace(CLEAN.audit, established=False, reason="weak judge_power", accepted=True)
    text = privacy(REQUEST, known(replace(CLEAN, audit=weak), OWN))
    assert "weak judge_power. It is published all the same (audit.accept_weak_judge)." in text


def test_real_people_are_told_in_the_first_line_of_report_and_card_and_by_its_color():
    plan = Plan(REAL, {}, [Unit(0, 0, 3, 42)])
    text = privacy(REAL, known(CLEAN, OWN))
    assert text.startswith("This release holds images of real people")
    assert "were looked for. An independent recognizer looked at every face: 0 of 40" in text
    weak = replace(CLEAN.audit, established=False, reason="a weak judge", accepted=True)
    text = privacy(REAL, known(replace(CLEAN, audit=weak), OWN))
    assert "not established: a weak judge. It is published all the same" in text
    first = "This release holds images of real people: 2 of them."
    page = render_page(
        "Tiny", plan, manifest(), known(CLEAN, OWN), pictures(everything=False)
    ).decode()
    body = page[page.index("</style>") :]
    assert body.index(f'<p class="banner real">{first}</p>') < body.index("<h1>")
    assert ".banner.real { background: #a3231f; }" in page
    card = render_card(CONFIG, plan, manifest(), known(CLEAN, OWN)).decode()
    assert card.split("# Tiny\n\n")[1].startswith(f"> **{first}**\n")
    assert statements(plan, known(CLEAN, OWN)).first == first
    nobody = Plan(REQUEST, {}, [Unit(0, 0, 3, 42)])
    other = render_page(
        "Tiny", nobody, manifest(), known(CLEAN, OWN), pictures(everything=False)
    ).decode()
    assert '<p class="banner virtual">Nobody in it exists.</p>' in other


@pytest.mark.parametrize("holds_real", [False, True])
def test_privacy_of_edits_is_that_of_the_release_they_edit(holds_real):
    origin = SourceRelease("people", "0.1.0", "h" * 64, holds_real, "s" * 64)
    text = privacy(edits_of(origin), known(CLEAN, OWN))
    assert ("which holds nobody real" in text) == (not holds_real)


def test_collection_tells_what_each_network_learned_from():
    parent = NetworkRecord("recognizer", "b" * 64, (source("r", real=False),))
    silent = NetworkRecord("editor", "c" * 64, is_told=False)
    nobody = NetworkRecord("autoencoder", "d" * 64)
    whole = replace(OWN, networks=(*OWN.networks, parent, silent, nobody))
    text = statements(Plan(REQUEST, {}, []), known(CLEAN, whole)).collection
    for part in (
        "generator (aaaaaaaaaaaa): 204 images of 102 people who exist; license CC-BY-4.0;",
        "recognizer (bbbbbbbbbbbb): 204 images of 102 people who do not exist;",
        "editor (cccccccccccc): not recorded;",
        "autoencoder (dddddddddddd): no faces.",
    ):
        assert part in text, part
    assert "not recorded" in learned(None)
    assert unseen(lineage_metrics(OWN)) == ""


def test_power_that_nobody_could_measure_is_said_so():
    blind = replace(CLEAN, leakage=replace(NO_LEAKS, power=NotMeasured("n/a: nobody")))
    assert "How often it would see a known person is not measured." in privacy(
        REQUEST, known(blind, OWN)
    )
