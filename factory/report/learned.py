"""Whom the networks of a release learned from, as its lineage tells."""

from __future__ import annotations

from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord
from factory.shards import layout
from factory.store import Store

NOT_RECORDED = "not recorded"


def lineage_of(store: Store) -> Lineage | None:
    """The lineage that a release was planned with; None of one by an older factory."""
    if not store.exists(layout.LINEAGE):
        return None
    return Lineage.from_json(store.get(layout.LINEAGE))


def learned(lineage: Lineage | None) -> str:
    """A sentence on what the generator and every other network learned from."""
    if lineage is None:
        return f"What the networks that made it learned from is {NOT_RECORDED}."
    networks = "; ".join(
        f"{network.role} ({network.sha256[:12]}): {_of_network(network)}"
        for network in lineage.networks
    )
    return f"What its networks learned from: {networks or NOT_RECORDED}."


def unseen(lineage: Lineage | None) -> str:
    """Why an audit against the source cannot tell of all whom networks know; empty if it can."""
    if lineage is None:
        return f"what the networks that made it learned from is {NOT_RECORDED}"
    untold = [network.role for network in lineage.networks if not network.is_told]
    if untold or not lineage.networks:
        return f"what its {' and '.join(untold) or 'networks'} learned from is {NOT_RECORDED}"
    seen = {_whole(source.fingerprint) for source in lineage.sources}
    others = {
        source.fingerprint: source
        for network in lineage.networks
        for source in network.learned_from
        if source.real_people and _whole(source.fingerprint) not in seen
    }
    if not others:
        return ""
    images = sum(source.num_images for source in others.values())
    people = sum(source.num_people for source in others.values())
    return (
        f"its networks also learned from {images} photographs of {people} people who are not in "
        "the source that its faces were compared with"
    )


def _whole(fingerprint: str) -> str:
    """Fingerprint of the source that some identities are a part of."""
    return fingerprint.partition("[")[0]


def _of_network(network: NetworkRecord) -> str:
    if not network.is_told:
        return NOT_RECORDED
    return " and ".join(map(_of_source, network.learned_from)) or "no faces"


def _of_source(source: SourceRecord) -> str:
    kind = "photographs of real people" if source.real_people else "nobody real"
    return (
        f"{source.num_images} images of {source.num_people} people ({kind}, license "
        f"{source.license})"
    )
