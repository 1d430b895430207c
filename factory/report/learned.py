"""Whom the networks of a release learned from, as its lineage tells."""

from __future__ import annotations

from factory.evaluation.metrics.lineage import FacesUsed, LineageMetrics, NetworkTraining
from factory.provenance.carriers import is_part_of
from factory.provenance.effective import AVOIDED
from factory.provenance.lineage import HEAD_MODEL, has_real_source, is_rendered

NOT_RECORDED = "not recorded"


def learned(lineage: LineageMetrics | None) -> str:
    """A sentence each on what the generator and every other network learned from."""
    if lineage is None:
        return f"What the networks that made it learned from is {NOT_RECORDED}."
    networks = [
        f"{network.role.capitalize()} ({network.sha256[:12]}): {by_network(network)}."
        for network in lineage.networks
    ]
    if not networks and is_rendered(lineage.sources):
        return "No network made it."
    if not networks:
        return f"What its networks learned from is {NOT_RECORDED}."
    return " ".join(["What its networks learned from:", *networks])


def learned_in_all(lineage: LineageMetrics | None) -> str:
    """From how many images of whom all networks learned, each set of faces once."""
    if lineage is not None and not lineage.drawing and is_rendered(lineage.sources):
        return "no network made it, so none learned from anybody"
    if lineage is None or not lineage.drawing:
        return f"what the networks learned from is {NOT_RECORDED}"
    used = {
        (one.fingerprint, one.real_people): one
        for network in lineage.drawing
        for one in network.learned_from
    }
    parts = []
    for real, whose in ((True, "who exist"), (False, "who do not exist")):
        some = [one for (_, is_real), one in used.items() if is_real == real]
        if some:
            images, people = sum(s.images for s in some), sum(s.identities for s in some)
            parts.append(f"{images} images of {people} people {whose}")
    untold = sum(not network.is_told for network in lineage.drawing)
    text = f"{len(lineage.drawing)} networks learned from {' and '.join(parts) or 'no faces'}"
    return f"{text}; of {untold} of them it is {NOT_RECORDED}" if untold else text


def unseen(lineage: LineageMetrics | None, audited: str) -> str:
    """Why an audit against a source cannot tell of all whom networks know; empty if it can.

    `audited` is the fingerprint of that source, the one that the release was planned with.
    """
    if lineage is None:
        return f"what the networks that made it learned from is {NOT_RECORDED}"
    drawing = lineage.drawing
    untold = [network.role for network in drawing if not network.is_told]
    if untold or not (drawing or is_rendered(lineage.sources)):
        return f"what its {' and '.join(untold) or 'networks'} learned from is {NOT_RECORDED}"
    stood_for = [one for one in lineage.sources if one.role == "inquiry"]
    if people := sum(one.identities for one in stood_for if one.real_people):
        return f"its identities are embeddings of images of {people} people (identities.inquiry)"
    learned_from = [source for network in drawing for source in network.learned_from]
    used = {
        (one.fingerprint, one.role, one.real_people): one
        for one in (*lineage.sources, *learned_from)
        if one.role != AVOIDED
    }.values()
    if releases := sorted({one.release for one in used if one.descends_from_real}):
        return (
            f"it descends from {' and '.join(releases)}, whose own lineage holds images of people "
            "who exist or does not tell all"
        )
    is_audited = has_real_source(lineage.sources)  # of others an audit decides nothing
    others = {
        one.fingerprint: one
        for one in used
        if one.real_people and not (is_audited and is_part_of(one.fingerprint, audited))
    }
    if not others:
        return ""
    images = sum(source.images for source in others.values())
    people = sum(source.identities for source in others.values())
    return (
        f"its networks also learned from {images} photographs of {people} people who are not in "
        "the source that its faces were compared with"
    )


def by_network(network: NetworkTraining) -> str:
    """What one network learned from, in words."""
    if not network.is_told and not network.learned_from:
        return NOT_RECORDED
    return " and ".join(map(faces, network.learned_from)) or "no faces"


def faces(used: FacesUsed) -> str:
    """A set of faces in words."""
    if used.role == HEAD_MODEL:
        digest = used.fingerprint[:12]
        return f"a model of heads and no face (head model {digest}); license {used.license}"
    if used.role == "gallery":
        return f"vectors of people who are stayed away from (gallery {used.fingerprint[:12]})"
    whose = "people who exist" if used.real_people else "people who do not exist"
    origin = f" (release {used.release})" if used.release else ""
    return f"{used.images} images of {used.identities} {whose}{origin}; license {used.license}"
