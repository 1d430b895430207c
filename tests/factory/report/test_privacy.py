"""Who is in a release: no more is claimed than its audit and its lineage support."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from factory.config import EditingConfig
from factory.evaluation.metrics.lineage import lineage_metrics
from factory.evaluation.metrics.release import Metrics
from factory.evaluation.metrics.values import NotMeasured
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord
from factory.records import Unit
from factory.report.croissant import render_croissant
from factory.report.evidence import evidence
from factory.report.learned import learned, learned_in_all, unseen
from factory.report.page import render_card, render_page
from factory.report.privacy import Banner, banner, num_real, privacy
from factory.report.spdx import render_spdx
from factory.report.statements import statements
from factory.shards.manifest import manifest_json
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


def rendered(*learned_from: SourceRecord, **first) -> Lineage:
    """Of a release planned with a source without real people."""
    planned = replace(source("f" * 64, real=False), **first)
    return replace(lineage(*learned_from), sources=(planned,))


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
    assert "(of strangers' own images 0 of 500)" in text
    assert "It would see a known person in 75.0% of images (95 % interval 53.0% to 89.0%" in text
    assert banner(Plan(REQUEST, {}, []), known(CLEAN, OWN)).kind == "virtual"


def test_of_a_source_without_real_people_the_audit_informs():
    text = privacy(REQUEST, known(RENDERED, rendered(source("r", real=False))))
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
    learned = source("f" * 64, real=holds_real)
    descent = OWN if holds_real else rendered(learned)
    text = privacy(edits_of(origin), known(CLEAN, descent))
    assert ("which holds nobody real" in text) == (not holds_real)
    assert ("holds images of real people" in text) == holds_real


def test_edits_of_a_release_that_descends_from_real_people_are_not_vouched_for():
    origin = SourceRelease("people", "0.1.0", "h" * 64, False, "s" * 64)
    learned = source("r", real=False)
    descent = rendered(learned, release="people 0.1.0", descends_from_real=True)
    text = privacy(edits_of(origin), known(RENDERED, descent))
    assert "which holds nobody real" not in text
    assert "is not established: it descends from people 0.1.0, whose own lineage" in text


@pytest.mark.parametrize(
    ("audited", "learned", "seen"),
    [
        ("", "", True),
        ("", "[0:80]", True),
        ("[0:80]", "[0:80]", True),
        ("[0:10]", "", False),
        ("[0:10]", "[0:80]", False),
        ("[0:10]", "[0:80][5:10]", True),
        ("[5:20]", "[0:8]", False),
    ],
)
def test_an_audit_sees_those_alone_who_are_in_the_part_that_it_looks_at(audited, learned, seen):
    facts = replace(REQUEST.source, fingerprint="f" * 64 + audited)
    request = replace(REQUEST, source=facts)
    descent = replace(lineage(source("f" * 64 + learned)), sources=(source(facts.fingerprint),))
    first = banner(Plan(request, {}, []), known(CLEAN, descent))
    assert first.kind == ("virtual" if seen else "open")
    assert ("204 photographs of 102 people who are not in" in first.text) == (not seen)


@pytest.mark.parametrize("fingerprint", ["q", "f" * 64])
def test_faces_that_stand_for_people_are_not_audited_and_leave_it_open(fingerprint):
    inquiry = replace(source(fingerprint), role="inquiry")
    learned = source("r", real=False)
    for descent in (lineage(source("f" * 64)), rendered(learned)):
        whole = replace(descent, sources=(*descent.sources, inquiry))
        first = banner(Plan(REQUEST, {}, []), known(CLEAN, whole))
        assert first.kind == "open"
        assert "its identities are embeddings of images of 102 people" in first.text
    gallery = replace(source("g"), role="gallery")
    near = replace(rendered(learned), sources=(*rendered(learned).sources, gallery))
    assert banner(Plan(REQUEST, {}, []), known(RENDERED, near)).kind == "virtual"
    asked = evidence(Plan(REQUEST, {}, []), manifest(), known(RENDERED, whole))
    assert any("its identities stand for 102 people who exist" in answer for _, _, answer in asked)


@pytest.mark.parametrize("where", ["source", "network"])
def test_a_release_of_a_release_of_real_people_stays_open(where):
    origin = replace(source("r", real=False), release="people 0.1.0", descends_from_real=True)
    descent = rendered(origin) if where == "network" else replace(rendered(), sources=(origin,))
    first = banner(Plan(REQUEST, {}, []), known(RENDERED, descent))
    assert first.kind == "open"
    assert "it descends from people 0.1.0" in first.text
    without = replace(origin, descends_from_real=False)
    descent = rendered(without) if where == "network" else replace(rendered(), sources=(without,))
    assert banner(Plan(REQUEST, {}, []), known(RENDERED, descent)).kind == "virtual"


def counted(metrics: Metrics, people: int | None) -> Metrics:
    """The metrics of a release with images of so many people of its source."""
    return replace(metrics, counts=replace(metrics.counts, source_people=people))


def test_real_people_are_counted_by_whose_images_were_kept():
    plan = Plan(REAL, {}, [Unit(0, 0, 9, 42)])
    assert num_real(plan, known(CLEAN, OWN)) == 8  # older metrics: all who were planned
    assert num_real(plan, known(counted(CLEAN, 3), OWN)) == 3
    assert "real people: 3 of them" in banner(plan, known(counted(CLEAN, 3), OWN)).text
    assert banner(plan, known(counted(CLEAN, 0), OWN)).kind == "virtual"


def test_all_documents_agree_on_people_of_a_source_who_do_not_exist():
    plan = Plan(REAL, {}, [Unit(0, 0, 3, 42)])
    metrics = known(counted(RENDERED, 2), rendered(source("r", real=False)))
    first = "Nobody in it exists: it holds images of 2 people of its source, none of whom exists."
    assert banner(plan, metrics) == Banner("virtual", first)
    assert "real people" not in privacy(REAL, metrics).split(" An independent")[0]
    answers = {question: answer for _, question, answer in evidence(plan, manifest(), metrics)}
    assert answers["Are personal data in it?"].startswith("0 real people")
    assert answers["Are biometric data of real people in it?"] == "0 images of real people"
    told = json.loads(render_spdx(CONFIG, plan, manifest(), metrics))["@graph"]
    (package,) = (one for one in told if one["type"] == "dataset_DatasetPackage")
    assert package["dataset_hasSensitivePersonalInformation"] == "no"
    croissant = render_croissant(CONFIG, plan, manifest(), metrics).decode()
    assert first in croissant
    assert "holds images of real people" not in croissant
    lineages = rendered(), lineage(source("f" * 64)), None
    told = [json.loads(manifest_json(manifest(), plan, one)) for one in lineages]
    assert [one["holds_real_identities"] for one in told] == [False, True, True]


def judged(**facts) -> Metrics:
    """Metrics of a release that the package's judge has looked at."""
    by = {"judge": "starter:judge", "judge_sha256": "ab" * 32} | facts
    return known(replace(CLEAN, audit=replace(CLEAN.audit, **by)), OWN)


def test_the_judge_is_named_and_called_independent_only_where_it_shares_no_source():
    text = privacy(REQUEST, judged())
    assert "An independent recognizer (starter:judge, sha256 abababababab) looked at" in text
    assert "0 of 3 identities are by their mean face" in text
    text = privacy(REQUEST, judged(judge_shares="it learned from their source"))
    assert "independent recognizer" not in text
    assert "Another recognizer (starter:judge, sha256 abababababab), not an independent one" in text
    assert "since it learned from their source, looked at every face" in text
    plan = Plan(REQUEST, {}, [Unit(0, 0, 3, 42)])
    asked = evidence(plan, manifest(), judged())
    (found,) = (answer for _, question, answer in asked if "nobody can be" in question)
    assert (
        "audit by starter:judge, sha256 abababababab: established: 0 of 40 faces, 0 of 3" in found
    )
    page = render_page("Tiny", plan, manifest(), judged(), pictures(everything=False)).decode()
    assert f"The judge is starter:judge (sha256 {'ab' * 32})." in page


@pytest.mark.parametrize("method", ["classic", "drawn"])
def test_limits_of_edits_are_those_of_their_images(method):
    edited = replace(REQUEST, edits=edit_request(EditingConfig(method=method), None, None))
    text = statements(Plan(edited, {}, []), known(CLEAN, OWN)).limits
    assert "generator" not in text
    assert "those of the images that it edits" in text
    drawn = statements(Plan(REQUEST, {}, []), known(CLEAN, OWN)).limits
    assert "where the generator learned them" in drawn


def test_collection_tells_what_each_network_learned_from():
    parent = NetworkRecord("recognizer", "b" * 64, (source("r", real=False),))
    silent = NetworkRecord("editor", "c" * 64, is_told=False)
    nobody = NetworkRecord("autoencoder", "d" * 64)
    whole = replace(OWN, networks=(*OWN.networks, parent, silent, nobody))
    text = statements(Plan(REQUEST, {}, []), known(CLEAN, whole)).collection
    for part in (
        "Generator (aaaaaaaaaaaa): 204 images of 102 people who exist; license CC-BY-4.0. Recog",
        "Recognizer (bbbbbbbbbbbb): 204 images of 102 people who do not exist; license CC-BY-4.0.",
        "Editor (cccccccccccc): not recorded.",
        "Autoencoder (dddddddddddd): no faces.",
    ):
        assert part in text, part
    assert "not recorded" in learned(None)
    again = NetworkRecord("editor", "e" * 64, (source("r", real=False),))  # counts once
    some = replace(OWN, networks=(*OWN.networks, parent, silent, nobody, again))
    assert learned_in_all(lineage_metrics(some)) == (
        "5 networks learned from 204 images of 102 people who exist and 204 images of 102 people "
        "who do not exist; of 1 of them it is not recorded"
    )
    assert learned_in_all(None) == "what the networks learned from is not recorded"
    assert unseen(lineage_metrics(OWN), "f" * 64) == ""


def test_power_that_nobody_could_measure_is_said_so():
    blind = replace(CLEAN, leakage=replace(NO_LEAKS, power=NotMeasured("n/a: nobody")))
    assert "How often it would see a known person is not measured." in privacy(
        REQUEST, known(blind, OWN)
    )
