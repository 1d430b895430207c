"""Under what license a release is whatever it says: that of all it descends from, together.

Terms flow from faces to the networks that learned from them, from networks to those that were
trained with them, and from both to what is made by them. Networks that only look (judge, detector,
segmenter) give a release nothing of theirs: they are listed, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from factory.errors import ConfigError
from factory.provenance.licenses import (
    FAMILY,
    NC,
    ND,
    OTHER,
    PRIVATE,
    RESEARCH,
    Terms,
    allows,
    families,
    join,
    outside,
    plain_class,
    terms_of,
    wanted,
)
from factory.provenance.lineage import UNKNOWN, Lineage, NetworkRecord, SourceRecord
from factory.provenance.merging import faces_once

ONLY_LOOK = ("judge", "detector", "segmenter")
"""Roles of networks of which nothing is in what is made."""
AVOIDED = "gallery"
"""Role of faces that are stayed away from, of which nothing is in what is made either."""
SHORT = 6
"""Digits of a digest that tell networks of one chain apart."""


@dataclass(frozen=True)
class EffectiveLicense:
    """What all that a release descends from asks for together."""

    license: str
    """Expression of the licenses that decide, joined by AND."""
    terms: Terms
    attributions: tuple[str, ...]
    """Credits that have to be given."""
    chain: str
    """The records that make it as narrow as it is, from the faces to the network that draws."""

    @property
    def plain(self) -> str:
        """In the words of the plain classes."""
        return plain_class(self.terms)

    @property
    def excluding(self) -> list[str]:
        """Terms that exclude each other: share-alikes, else one and the worst that it excludes."""
        wants = families(self.terms)
        further = outside(self.terms, wants[0]) if len(wants) == 1 else Terms()
        found = [FAMILY + one for one in wants] + sorted(further, key=_rank)[:1]
        return found if len(found) > 1 else []


def effective(lineage: Lineage) -> EffectiveLicense:
    """The narrowest license of all sources and networks of a lineage, and what makes it so."""
    stated = [license for license, _ in _stated(lineage)]
    terms = frozenset[str]().union(*map(terms_of, stated))
    credits = [one.attribution for one in sources_of(lineage)]
    credits += [one.attribution for one in lineage.networks]
    return EffectiveLicense(
        join(stated),
        terms,
        tuple(sorted({credit for credit in credits if credit})),
        _deciding_chain(lineage, terms),
    )


def sources_of(lineage: Lineage) -> list[SourceRecord]:
    """All faces of a lineage: those it was planned with, then those its networks learned from."""
    further = [one for network in lineage.networks for one in network.learned_from]
    return faces_once([*lineage.sources, *further])


def refuse_wider(lineage: Lineage, license: str) -> None:
    """Raise ConfigError, naming the chain, where a release may not have the license it states."""
    found = effective(lineage)
    if allows(found.terms, license, "release.license"):
        return
    narrow = [text for text, _ in _stated(lineage)]
    options = wanted(found.terms, narrow)
    listed = ", ".join(options[:-1]) + f" or {options[-1]}" if len(options) > 1 else options[0]
    if found.excluding:
        chains = "; ".join(_chain(lineage, {one}) for one in found.excluding)
        raise ConfigError(
            f"release.license: {license} is refused, since nothing may be passed on that is both "
            f"{' and '.join(found.excluding)}: {chains}; want {listed}, or leave one of them out"
        )
    raise ConfigError(
        f"release.license: {license} is wider than {found.plain}: "
        f"{_chain(lineage, _missing(found.terms, license))}; want {listed}"
    )


def narrowest(stated: Iterable[str], lineage: Lineage) -> str:
    """The license of several releases as one: one of theirs that all and their lineage allow.

    Else that of all of them joined; else `other`, or `private` where nothing may be passed on.
    """
    licenses = list(dict.fromkeys(stated))
    terms = effective(lineage).terms.union(*map(terms_of, licenses))
    options = (*licenses, join(licenses), OTHER, PRIVATE)
    return next(one for one in options if allows(terms, one))


def _missing(terms: Terms, license: str) -> set[str]:
    """The narrowest of the terms that a license lacks."""
    lacking = set(terms - terms_of(license))
    return {min(lacking, key=_rank)} if lacking else set()


def _rank(term: str) -> tuple[int, str]:
    """Orders terms from those that forbid most."""
    order = [UNKNOWN, PRIVATE, ND, RESEARCH, NC]
    return (order.index(term) if term in order else len(order), term)


def _stated(lineage: Lineage) -> list[tuple[str, SourceRecord | NetworkRecord]]:
    """Every license that counts, with the record that states it."""
    found: list[tuple[str, SourceRecord | NetworkRecord]] = []
    for network in lineage.networks:
        if network.role not in ONLY_LOOK:
            found += [(license, network) for license in own_licenses(network)]
            found += [(one.license, one) for one in network.learned_from]
    return found + [(one.license, one) for one in lineage.sources if one.role != AVOIDED]


def own_licenses(network: NetworkRecord) -> list[str]:
    """What a network states of itself; one of which nothing is known is unknown."""
    if network.license:
        return [network.license]
    return [] if network.is_told else [UNKNOWN]


def _deciding_chain(lineage: Lineage, terms: Terms) -> str:
    return _chain(lineage, {min(terms, key=_rank)}) if terms else ""


def _chain(lineage: Lineage, terms: set[str]) -> str:
    """source (license) -> network -> network, for the first record that brings one of the terms."""
    for license, record in _stated(lineage):
        if not terms_of(license) & terms:
            continue
        if isinstance(record, NetworkRecord):
            return " -> ".join([f"{_name(record)} ({license})", *_descendants(lineage, record)])
        learned = next((n for n in lineage.networks if record in n.learned_from), None)
        via = [_name(learned), *_descendants(lineage, learned)] if learned else []
        return " -> ".join([f"{record.role} ({license})", *via])
    return ""


def _descendants(lineage: Lineage, network: NetworkRecord) -> list[str]:
    """Names of networks, each trained with the one before, up to one that no other needed.

    The shortest such way from a network on.
    """
    ways: list[list[NetworkRecord]] = [[network]]
    seen = {network.sha256}
    for way in ways:  # which grows: breadth first
        heirs = [
            n
            for n in lineage.networks
            if way[-1].sha256 in n.trained_with.values() and n.role not in ONLY_LOOK
        ]
        if not heirs:
            return [_name(heir) for heir in way[1:]]
        ways += [[*way, heir] for heir in heirs if heir.sha256 not in seen]
        seen |= {heir.sha256 for heir in heirs}
    return []


def _name(network: NetworkRecord) -> str:
    return f"{network.role} {network.sha256[:SHORT]}"
