"""spdx.json: a release as a dataset package of SPDX 3 (spdx.github.io/spdx-spec/v3.0.1, Dataset).

Every property of the profile is there that the release can answer. The concluded license is that of
all it descends from, the declared one what was stated; networks and sets of faces are ancestors.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from factory.config import ReleaseConfig
from factory.evaluation.metrics.lineage import LineageMetrics, NetworkTraining
from factory.evaluation.metrics.release import Metrics
from factory.provenance.licenses import AND, is_spdx
from factory.records import FileRecord, Manifest
from factory.report.learned import by_network, faces
from factory.report.privacy import banner
from factory.report.rights import stated_license
from factory.report.statements import statements
from factory.shards import layout
from factory.shots.plan import Plan

VERSION = "3.0.1"
CONTEXT = f"https://spdx.org/rdf/{VERSION}/spdx-context.jsonld"
PROFILES = ["core", "software", "dataset", "simpleLicensing"]
INFO = "_:creation"
SENSITIVE = {"real": "yes", "open": "noAssertion", "virtual": "no"}
"""Whether sensitive personal information is in it, by what its reader must know first."""
Element = dict[str, Any]


def render_spdx(config: ReleaseConfig, plan: Plan, manifest: Manifest, metrics: Metrics) -> bytes:
    """spdx.json of a sealed release; the same plan has the same ids."""
    base = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, manifest.plan_hash)}#"
    finished_at = max(shard.timings.finished_at for shard in manifest.shards)
    created = datetime.datetime.fromtimestamp(finished_at, datetime.UTC)
    made_at = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    files = _files(base, manifest)
    further, relations = _ancestors(base, metrics.lineage)
    package = _package(base, config, plan, manifest, metrics, made_at)
    graph: list[Element] = [
        {
            "type": "CreationInfo",
            "@id": INFO,
            "specVersion": VERSION,
            "created": made_at,
            "createdBy": [base + "factory"],
        },
        _element(base, "SoftwareAgent", "factory", name="Face Factory"),
        package,
        *files,
        *further,
        _relation(base, "contains", "contains", [one["spdxId"] for one in files]),
        *relations,
        *_licenses(base, config, metrics.lineage),
    ]
    document = _element(
        base, "SpdxDocument", "document", name=f"{manifest.dataset} {manifest.version}"
    )
    document |= {
        "profileConformance": PROFILES,
        "rootElement": [package["spdxId"]],
        "element": [one["spdxId"] for one in graph if "spdxId" in one],
    }
    body = {"@context": CONTEXT, "@graph": [*graph, document]}
    return (json.dumps(body, indent=1, allow_nan=False) + "\n").encode()


def _package(
    base: str,
    config: ReleaseConfig,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
    made_at: str,
) -> Element:
    told, kind = statements(plan, metrics), banner(plan, metrics).kind
    text = {
        "name": manifest.dataset,
        "description": config.title,
        "originatedBy": [base + "factory"],
        "builtTime": made_at,
        "releaseTime": made_at,
        "software_packageVersion": manifest.version,
        "software_downloadLocation": config.homepage,
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["image"],
        "dataset_datasetSize": sum(tar.size for tar in _tars(manifest)),
        "dataset_intendedUse": told.uses,
        "dataset_dataCollectionProcess": told.collection,
        "dataset_dataPreprocessing": [told.filtering, told.labels],
        "dataset_knownBias": [told.biases],
        "dataset_datasetNoise": told.limits,
        "dataset_datasetUpdateMechanism": told.maintenance,
        "dataset_hasSensitivePersonalInformation": SENSITIVE[kind],
    }
    if kind == "virtual":
        text["dataset_anonymizationMethodUsed"] = [told.privacy]
    else:
        text["comment"] = " ".join(dict.fromkeys([told.first, told.privacy]))
    return _element(base, "dataset_DatasetPackage", "dataset", **text)


def _tars(manifest: Manifest) -> list[FileRecord]:
    """The tar of each shard."""
    return [
        next(file for file in shard.files if file.name == layout.tar_name(shard.unit))
        for shard in manifest.shards
    ]


def _files(base: str, manifest: Manifest) -> list[Element]:
    """The tars, with their digests."""
    return [
        _element(
            base,
            "software_File",
            tar.name,
            name=tar.name,
            software_contentType="application/x-tar",
            software_primaryPurpose="data",
            verifiedUsing=[{"type": "Hash", "algorithm": "sha256", "hashValue": tar.sha256}],
        )
        for tar in _tars(manifest)
    ]


def _ancestors(base: str, lineage: LineageMetrics | None) -> tuple[list[Element], list[Element]]:
    """Networks and sets of faces, and that the dataset descends from them.

    What only looked is a tool, and faces that it stays away from are related in no named way.
    """
    if lineage is None:
        return [], []
    found, relations = [], []
    for network in lineage.networks:
        found.append(_network(base, network))
        kind = "usesTool" if network in lineage.looking else "ancestorOf"
        relations.append(_relates(base, found[-1], kind))
    for number, one in enumerate(lineage.sources):
        found.append(
            _element(
                base,
                "software_Package",
                f"{one.role}-{number}",
                name=one.role,
                comment=faces(one),
                software_primaryPurpose="data",
            )
        )
        kind = "ancestorOf" if one in lineage.used else "other"
        relations.append(_relates(base, found[-1], kind))
    return found, relations


def _network(base: str, network: NetworkTraining) -> Element:
    return _element(
        base,
        "software_Package",
        f"{network.role}-{network.sha256[:12]}",
        name=network.role,
        comment=by_network(network),
        software_primaryPurpose="model",
        verifiedUsing=[{"type": "Hash", "algorithm": "sha256", "hashValue": network.sha256}],
    )


def _relates(base: str, package: Element, kind: str) -> Element:
    """How the dataset and a package are related: it descends from ancestors alone."""
    ends = [base + "dataset", package["spdxId"]]
    if kind == "ancestorOf":
        ends.reverse()
    relation = _element(base, "Relationship", "", relationshipType=kind)
    return relation | {"spdxId": f"{package['spdxId']}-{kind}", "from": ends[0], "to": ends[1:]}


def _licenses(base: str, config: ReleaseConfig, lineage: LineageMetrics | None) -> list[Element]:
    """The declared license, the concluded one, and that the dataset has them."""
    declared = stated_license(config, lineage)
    concluded = lineage.effective_license if lineage else "unknown"
    found = []
    for kind, license in (("Declared", declared), ("Concluded", concluded)):
        found.append(
            _element(
                base,
                "simplelicensing_LicenseExpression",
                f"license-{kind.lower()}",
                simplelicensing_licenseExpression=expression(license),
            )
        )
        found.append(
            _relation(base, f"has{kind}License", f"has-{kind.lower()}", [found[-1]["spdxId"]])
        )
    if lineage and lineage.chain:
        found[-1]["comment"] = lineage.chain
    return found


def expression(license: str) -> str:
    """A license as an SPDX expression; what has no SPDX id is a reference to LICENSE."""
    return AND.join(
        one if is_spdx(one) else f"LicenseRef-{one.replace('+', 'p')}" for one in license.split(AND)
    )


def _relation(base: str, kind: str, name: str, to: list[str]) -> Element:
    relation = _element(base, "Relationship", name, relationshipType=kind)
    return relation | {"from": base + "dataset", "to": to}


def _element(base: str, kind: str, name: str, /, **values: Any) -> Element:
    return {"type": kind, "spdxId": base + name, "creationInfo": INFO, **values}
