"""spdx.json has what the dataset profile of SPDX 3.0.1 asks for (spdx.github.io/spdx-spec)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from factory.config import ReleaseConfig
from factory.report.spdx import expression, render_spdx
from factory.shards import layout
from factory.shots.plan import Plan
from tests.factory.report.test_page import PLAN
from tests.factory.report.test_privacy import CLEAN, LOOKED, OWN, known
from tests.measured import full_metrics, manifest
from tests.planned import REQUEST

ONE, SOME = (1, 1), (0, 10**9)
PACKAGE = {
    "name": (str, ONE),
    "originatedBy": (list, ONE),
    "builtTime": (str, ONE),
    "releaseTime": (str, ONE),
    "software_downloadLocation": (str, ONE),
    "software_primaryPurpose": (str, ONE),
    "software_packageVersion": (str, (0, 1)),
    "dataset_datasetType": (list, ONE),
    "dataset_datasetSize": (int, (0, 1)),
    "dataset_intendedUse": (str, (0, 1)),
    "dataset_dataCollectionProcess": (str, (0, 1)),
    "dataset_dataPreprocessing": (list, SOME),
    "dataset_knownBias": (list, SOME),
    "dataset_datasetNoise": (str, (0, 1)),
    "dataset_datasetUpdateMechanism": (str, (0, 1)),
    "dataset_hasSensitivePersonalInformation": (str, (0, 1)),
    "dataset_anonymizationMethodUsed": (list, SOME),
}
"""Type and number of the values of each property of a DatasetPackage, in the specification."""
KINDS = {
    "CreationInfo",
    "SoftwareAgent",
    "dataset_DatasetPackage",
    "software_File",
    "software_Package",
    "simplelicensing_LicenseExpression",
    "Relationship",
    "SpdxDocument",
}
RELATIONS = {
    "contains",
    "ancestorOf",
    "usesTool",
    "other",
    "hasDeclaredLicense",
    "hasConcludedLicense",
}


def check(body: dict[str, Any]) -> dict[str, Any]:
    """The dataset package of a document, after comparing all of it with the specification."""
    assert body["@context"] == "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
    graph = body["@graph"]
    assert {one["type"] for one in graph} <= KINDS
    (info,) = (one for one in graph if one["type"] == "CreationInfo")
    assert info["specVersion"] == "3.0.1"
    elements = {one["spdxId"]: one for one in graph if one is not info}
    assert len(elements) == len(graph) - 1, "each element has an id of its own"
    assert all(one["creationInfo"] == info["@id"] for one in elements.values())
    for one in elements.values():
        if one["type"] == "Relationship":
            assert one["relationshipType"] in RELATIONS
            assert {one["from"], *one["to"]} <= set(elements)
    (package,) = (one for one in graph if one["type"] == "dataset_DatasetPackage")
    for name, (kind, (least, _)) in PACKAGE.items():
        assert not least or name in package, name
        assert isinstance(package.get(name, kind()), kind), name
    known = {*PACKAGE, "type", "spdxId", "creationInfo", "comment", "description"}
    assert set(package) <= known
    assert package["dataset_hasSensitivePersonalInformation"] in ("yes", "no", "noAssertion")
    for kind in ("hasDeclaredLicense", "hasConcludedLicense"):  # "exactly one" of each
        named = [o for o in graph if o.get("relationshipType") == kind]
        assert [one["from"] for one in named] == [package["spdxId"]], kind
        (to,) = named[0]["to"]
        assert elements[to]["type"] == "simplelicensing_LicenseExpression"
    return package


def test_a_release_is_a_dataset_package(release):
    body = json.loads(release.get(layout.SPDX))
    package = check(body)
    tars = [release.path(name) for name in release.list("data/")]
    assert package["dataset_datasetSize"] == sum(tar.stat().st_size for tar in tars) > 0
    assert package["dataset_hasSensitivePersonalInformation"] == "noAssertion"
    assert "dataset_anonymizationMethodUsed" not in package
    assert package["comment"].startswith("Whether somebody real shows in it is not established: ")
    assert package["name"] == json.loads(release.get(layout.MANIFEST))["dataset"]
    assert package["software_packageVersion"] == "0.1.0"
    assert package["dataset_datasetType"] == ["image"]
    networks = [one["name"] for one in body["@graph"] if one["type"] == "software_Package"]
    assert networks == ["recognizer", "generator", "autoencoder", "detector", "source"]


@pytest.mark.parametrize(
    ("metrics", "said"), [(known(CLEAN, OWN), "no"), (known(CLEAN, None), "noAssertion")]
)
def test_sensitive_information_is_ruled_out_only_where_the_banner_does(metrics, said):
    package = check(json.loads(render_spdx(ReleaseConfig(), PLAN, manifest(), metrics)))
    assert package["dataset_hasSensitivePersonalInformation"] == said
    assert ("dataset_anonymizationMethodUsed" in package) == (said == "no")
    assert ("comment" in package) == (said != "no")
    sizes = [
        file.size for shard in manifest().shards for file in shard.files if "data/" in file.name
    ]
    assert package["dataset_datasetSize"] == sum(sizes)


def test_what_only_looks_or_is_avoided_is_no_ancestor():
    body = json.loads(render_spdx(ReleaseConfig(), PLAN, manifest(), known(CLEAN, LOOKED)))
    dataset = check(body)["spdxId"]
    names = {one["spdxId"]: one["name"] for one in body["@graph"] if "name" in one}
    relations = [one for one in body["@graph"] if one["type"] == "Relationship"]
    pairs = {
        (r["relationshipType"], names[r["from"]], names[to])
        for r in relations
        for to in r["to"]
        if "software_Package" in (elements(body)[to]["type"], elements(body)[r["from"]]["type"])
    }
    dataset = names[dataset]
    assert pairs == {
        ("ancestorOf", "generator", dataset),
        ("ancestorOf", "source", dataset),
        ("usesTool", dataset, "detector"),
        ("other", dataset, "gallery"),
    }


def elements(body: dict[str, Any]) -> dict[str, Any]:
    return {one["spdxId"]: one for one in body["@graph"] if "spdxId" in one}


def test_a_release_with_real_people_says_so():
    plan = Plan(replace(REQUEST, plan=replace(REQUEST.plan, fill_to=3)), {}, PLAN.units)
    package = check(json.loads(render_spdx(ReleaseConfig(), plan, manifest(), full_metrics())))
    assert package["dataset_hasSensitivePersonalInformation"] == "yes"
    assert "dataset_anonymizationMethodUsed" not in package


def test_ids_are_those_of_the_plan():
    one, same = (render_spdx(ReleaseConfig(), PLAN, manifest(), full_metrics()) for _ in range(2))
    assert one == same


@pytest.mark.parametrize(
    ("license", "written"),
    [
        ("CC-BY-4.0 AND MIT", "CC-BY-4.0 AND MIT"),
        ("research-only", "LicenseRef-research-only"),
        ("openrail++", "LicenseRef-openrailpp"),
        ("other", "LicenseRef-other"),
    ],
)
def test_a_license_without_an_spdx_id_is_a_reference(license, written):
    assert expression(license) == written
