"""What a network or a release descends from: sets of faces and networks, each with its license.

A checkpoint.json holds the network's own record and those of all networks it was trained with, so
that nothing has to be at hand again to tell where a network comes from. A release holds the same as
lineage.json, part of what is sealed. Faces are named by what they are, never by a path or a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from factory.store import Store
from factory.store.json_text import json_text

FILE = "lineage.json"
"""Below the prefix of a release, and of a set of LoRAs."""
HEAD_MODEL = "head_model"
"""Role of the model that rendered heads are shaped by: no face, but the shapes of heads."""
UNKNOWN = "unknown"
"""License of something whose license nobody stated."""


@dataclass(frozen=True)
class SourceRecord:
    """Faces that a network learned from, or that a release was planned with."""

    kind: str
    """source.kind."""
    fingerprint: str
    """Of the contents, as sources give it."""
    num_images: int
    num_people: int
    real_people: bool
    """Whether photographs of people who exist are among them."""
    license: str = UNKNOWN
    """source.license: an SPDX id, or one of the plain classes."""
    attribution: str = ""
    """source.attribution: who is to be credited, and how."""
    release: str = ""
    """`dataset version` where the set is a release of this factory."""
    role: str = "source"
    """What it was used for: source, mix, inquiry (whose faces stand for people), head_model (what
    rendered heads are shaped by), or gallery, which is stayed away from."""
    consent: dict[str, int] = field(default_factory=dict)
    """People by the basis on which they consented (source.consent); empty without a ledger."""
    consent_sha256: str = ""
    """Of the ledger."""
    descends_from_real: bool = False
    """Of a release: whether images of people who exist are among all that it descends from, as far
    as its lineage.json tells; so too where that does not tell all."""
    commit: str = ""
    """Of a dataset on the hub: the commit that was read."""


@dataclass(frozen=True)
class NetworkRecord:
    """A network, what it learned from, and which networks it was trained with."""

    role: str
    """What it is: recognizer, generator, autoencoder, turns, editor, controlnet, base, lora, onnx
    (weights of somebody else inside a recognizer), or one that only looks: judge, detector,
    segmenter."""
    sha256: str
    learned_from: tuple[SourceRecord, ...] = ()
    """Empty where that is not known (`is_told`) or where it learned from no faces."""
    trained_with: dict[str, str] = field(default_factory=dict)
    """sha256 of the weights of networks it was trained with, by what they were for."""
    license: str = ""
    """License of the weights where somebody stated one; else what it learned from decides."""
    is_told: bool = True
    """Whether it is known what it learned from; not so of weights of somebody else, nor of
    checkpoints of older factories."""
    attribution: str = ""
    """Who is to be credited for the weights."""


@dataclass(frozen=True)
class Lineage:
    """All that a release descends from."""

    sources: tuple[SourceRecord, ...]
    """Faces that it was planned with; the first is config.source."""
    networks: tuple[NetworkRecord, ...]
    """Every network that made it and every ancestor of these, each once."""
    license: str = ""
    """release.license; empty of a set of LoRAs."""

    def to_json(self) -> bytes:
        body = {
            "license": self.license,
            "sources": [asdict(one) for one in self.sources],
            "networks": networks_to_list(self.networks),
        }
        return (json_text(body, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Lineage:
        body = json.loads(data)
        sources = tuple(SourceRecord(**one) for one in body["sources"])
        return cls(sources, networks_from_list(body["networks"]), body.get("license", ""))


class Faces(Protocol):
    """Faces of a lineage, as it is kept or as metrics tell of it."""

    @property
    def role(self) -> str: ...

    @property
    def real_people(self) -> bool: ...


def has_real_source(sources: Iterable[Faces]) -> bool:
    """Whether people who exist are among the faces that a release was planned with.

    Faces that only stand for people (inquiry) or are stayed away from (gallery) do not count.
    """
    return any(one.real_people for one in sources if one.role == "source")


def is_rendered(sources: Iterable[Faces]) -> bool:
    """Whether the people of a release were rendered by number, so that no network drew them."""
    return any(one.role == HEAD_MODEL for one in sources)


def read_lineage(store: Store) -> Lineage | None:
    """The lineage of a release or set of LoRAs in a store; None of what an older factory made."""
    return Lineage.from_json(store.get(FILE)) if store.exists(FILE) else None


def untold_networks(weights: Mapping[str, str]) -> list[NetworkRecord]:
    """Networks of which only their digests are known, by role."""
    return [NetworkRecord(role, sha256, is_told=False) for role, sha256 in weights.items()]


def networks_to_list(networks: Iterable[NetworkRecord]) -> list[dict[str, Any]]:
    """Plain nested values, ready for JSON."""
    return [asdict(network) for network in networks]


def networks_from_list(body: Sequence[dict[str, Any]]) -> tuple[NetworkRecord, ...]:
    """The networks that `networks_to_list` spelled."""
    return tuple(
        NetworkRecord(
            **(one | {"learned_from": tuple(SourceRecord(**s) for s in one["learned_from"])})
        )
        for one in body
    )
