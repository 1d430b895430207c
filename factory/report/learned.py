"""Whom the networks of a release learned from, as its lineage tells."""

from __future__ import annotations

from factory.evaluation.metrics.lineage import FacesUsed, LineageMetrics, NetworkTraining

NOT_RECORDED = "not recorded"


def learned(lineage: LineageMetrics | None) -> str:
    """A sentence on what the generator and every other network learned from."""
    if lineage is None:
        return f"What the networks that made it learned from is {NOT_RECORDED}."
    networks = "; ".join(
        f"{network.role} ({network.sha256[:12]}): {by_network(network)}"
        for network in lineage.networks
    )
    return f"What its networks learned from: {networks or NOT_RECORDED}."


def unseen(lineage: LineageMetrics | None) -> str:
    """Why an audit against the source cannot tell of all whom networks know; empty if it can."""
    if lineage is None:
        return f"what the networks that made it learned from is {NOT_RECORDED}"
    drawing = lineage.drawing
    untold = [network.role for network in drawing if not network.is_told]
    if untold or not drawing:
        return f"what its {' and '.join(untold) or 'networks'} learned from is {NOT_RECORDED}"
    seen = {_whole(source.fingerprint) for source in lineage.sources}
    others = {
        source.fingerprint: source
        for network in drawing
        for source in network.learned_from
        if source.real_people and _whole(source.fingerprint) not in seen
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
    if used.role == "gallery":
        return f"vectors of people who are stayed away from (gallery {used.fingerprint[:12]})"
    whose = "people who exist" if used.real_people else "people who do not exist"
    origin = f" (release {used.release})" if used.release else ""
    return f"{used.images} images of {used.identities} {whose}{origin}; license {used.license}"


def _whole(fingerprint: str) -> str:
    """Fingerprint of the source that some identities are a part of."""
    return fingerprint.partition("[")[0]
