"""Which networks and faces a release descends from, and what their licenses come to together."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.provenance.effective import AVOIDED, ONLY_LOOK, effective
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord


@dataclass(frozen=True)
class FacesUsed:
    """A set of faces: what of it was used, whose it is, under which license."""

    role: str
    kind: str
    fingerprint: str
    images: int
    identities: int
    real_people: bool
    license: str
    attribution: str
    release: str
    consent: dict[str, int] = field(default_factory=dict)
    """People by the basis on which they consented; empty without a ledger."""
    descends_from_real: bool = False
    """Of a release: whether it descends from images of people who exist."""


@dataclass(frozen=True)
class NetworkTraining:
    """A network, how many images of how many people it learned from, and which licenses hold."""

    role: str
    sha256: str
    is_told: bool
    """Whether it is known what it learned from."""
    images: int
    identities: int
    real_people: bool
    """Whether people who exist were among them."""
    license: str
    """That of the weights where one was stated."""
    attribution: str
    learned_from: list[FacesUsed]
    trained_with: dict[str, str]


@dataclass(frozen=True)
class LineageMetrics:
    """All that a release descends from, and the license that follows."""

    license: str
    """As it was stated when the release was planned (release.license)."""
    effective_license: str
    """Of all together: ids joined by AND."""
    effective_class: str
    """The same in plain words, such as non-commercial."""
    chain: str
    """The records that make it as narrow as it is."""
    attributions: list[str]
    sources: list[FacesUsed]
    networks: list[NetworkTraining]

    @property
    def drawing(self) -> list[NetworkTraining]:
        """Networks that it descends from."""
        return [one for one in self.networks if one.role not in ONLY_LOOK]

    @property
    def looking(self) -> list[NetworkTraining]:
        """Networks of which nothing is in it."""
        return [one for one in self.networks if one.role in ONLY_LOOK]

    @property
    def used(self) -> list[FacesUsed]:
        """Faces that it was planned with, but for those that are stayed away from."""
        return [one for one in self.sources if one.role != AVOIDED]


def lineage_metrics(lineage: Lineage) -> LineageMetrics:
    """The figures of a lineage."""
    whole = effective(lineage)
    return LineageMetrics(
        license=lineage.license,
        effective_license=whole.license,
        effective_class=whole.plain,
        chain=whole.chain,
        attributions=list(whole.attributions),
        sources=[_faces(one) for one in lineage.sources],
        networks=[_network(one) for one in lineage.networks],
    )


def _network(record: NetworkRecord) -> NetworkTraining:
    return NetworkTraining(
        role=record.role,
        sha256=record.sha256,
        is_told=record.is_told,
        images=sum(one.num_images for one in record.learned_from),
        identities=sum(one.num_people for one in record.learned_from),
        real_people=any(one.real_people for one in record.learned_from),
        license=record.license,
        attribution=record.attribution,
        learned_from=[_faces(one) for one in record.learned_from],
        trained_with=dict(record.trained_with),
    )


def _faces(record: SourceRecord) -> FacesUsed:
    return FacesUsed(
        role=record.role,
        kind=record.kind,
        fingerprint=record.fingerprint,
        images=record.num_images,
        identities=record.num_people,
        real_people=record.real_people,
        license=record.license,
        attribution=record.attribution,
        release=record.release,
        consent=dict(record.consent),
        descends_from_real=record.descends_from_real,
    )
