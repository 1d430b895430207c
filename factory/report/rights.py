"""LICENSE and NOTICE of a release: what may be done with it, why, and who is to be credited."""

from __future__ import annotations

from factory.config import ReleaseConfig
from factory.evaluation.metrics.lineage import LineageMetrics, NetworkTraining
from factory.provenance.licenses import CLAIMS_NOTHING, PRIVATE, find, is_private, terms_of
from factory.report.learned import by_network, faces
from factory.shots.plan import Plan

NOT_KEPT = (
    "It was planned by a factory that kept no lineage: the licenses of the faces and networks\n"
    "that it descends from are not known."
)
GRANTS_NOTHING = "- nothing is granted by that word alone; see what follows"
MEANINGS = {
    "notice": "keep the notices of copyright and license",
    "attribution": "credit those whom NOTICE names",
    "share-alike": "pass on what you make of it under the same license",
    "non-commercial": "no commercial use",
    "no-derivatives": "pass on nothing that is made of it",
    "research-only": "use for research alone",
    "use-restrictions": "the license's restrictions of use hold, for what is made of it too",
    "private": "not to be passed on",
    "unknown": "the license of something it descends from is not known, so nothing is granted",
}
"""What the terms of licenses ask for."""


def stated_license(config: ReleaseConfig, lineage: LineageMetrics | None) -> str:
    """The license that a release was planned with; of an older one, that of the config."""
    return lineage.license if lineage and lineage.license else config.license


def license_file(config: ReleaseConfig, plan: Plan, lineage: LineageMetrics | None) -> bytes:
    """LICENSE: id and address of the license, its obligations, and those of the lineage."""
    dataset, version = plan.request.dataset_and_version
    stated = stated_license(config, lineage)
    lines = [f"{dataset} {version}", "", f"License: {stated}", *_indented(addresses(stated))]
    lines += [GRANTS_NOTHING] if stated in CLAIMS_NOTHING else obligations(stated)
    if lineage is None:
        return _text([*lines, "", NOT_KEPT])
    whole = lineage.effective_license
    lines += [
        "",
        "All that it descends from comes together under:",
        *_indented([whole, *addresses(whole)]),
    ]
    lines += obligations(whole)
    if lineage.chain:
        lines += ["", f"Because of: {lineage.chain}"]
    return _text(
        [*lines, "", "NOTICE lists the credits. This file states facts and is no legal advice."]
    )


def notice_file(plan: Plan, lineage: LineageMetrics | None) -> bytes:
    """NOTICE: credits, then every set of faces and network with its license."""
    dataset, version = plan.request.dataset_and_version
    lines = [f"{dataset} {version}", "Made by Face Factory.", ""]
    if lineage is None:
        return _text([*lines, NOT_KEPT])
    lines += [
        "Credits:",
        *(f"- {credit}" for credit in lineage.attributions or ["none are asked for"]),
    ]
    lines += [
        "",
        "Faces that it was planned with:",
        *(f"- {faces(one)}" for one in lineage.sources),
    ]
    lines += ["", "Networks that it descends from:", *_networks(lineage.drawing)]
    if lineage.looking:
        lines += ["", "Networks that only look:", *_networks(lineage.looking)]
    return _text(lines)


def _networks(networks: list[NetworkTraining]) -> list[str]:
    """A line for each; one that says so where there are none."""
    if not networks:
        return ["- none"]
    return [
        f"- {one.role} {one.sha256}: learned from {by_network(one)}; {rights(one)}"
        for one in networks
    ]


def addresses(license: str) -> list[str]:
    """The addresses of the full texts."""
    return [one.url for one in find(license) if one.url]


def obligations(license: str) -> list[str]:
    """What a license asks for, a line each."""
    terms = terms_of(license)
    if is_private(terms):
        terms |= {PRIVATE}
    return [f"- {meaning}" for term, meaning in MEANINGS.items() if term in terms]


def rights(network: NetworkTraining) -> str:
    """The license of a network's weights, in words."""
    return f"weights: {network.license or ('unknown' if not network.is_told else 'as that')}"


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
