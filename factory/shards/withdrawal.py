"""A person withdraws: what descends from them, what is written and deleted, what stays in networks.

Only `lines` names nobody and is for the owner's eyes; no name of a person is written anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.config import SourceConfig
from factory.config.addresses import in_bucket
from factory.config.rules import check_version
from factory.errors import PlanError, SourceError
from factory.provenance.carriers import (
    Network,
    Sources,
    carriers,
    cost_lines,
    networks_below,
    told_of,
)
from factory.provenance.lineage import NetworkRecord, read_lineage, untold_networks
from factory.provenance.pseudonyms import key_in_environment
from factory.provenance.withdrawn import withdrawal_of
from factory.records import Log
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.shards.withdrawal_deletion import beside_held, delete_held, delete_lora, names_held
from factory.shards.withdrawal_search import (
    Found,
    Held,
    Names,
    Version,
    closed_hint,
    refuse_nobody,
    search,
)
from factory.shards.withdrawal_successor import succeed
from factory.sources import FaceSource, open_source
from factory.store import Store, open_url


@dataclass(frozen=True)
class Withdrawal:
    """All that descends from a person, as far as a store and some folders of networks tell."""

    root: Store
    found: Found
    carrying: list[Network]
    consent: str | None
    """The ledger of consent that the source has."""
    names: Names
    """What the person is called."""

    @property
    def open(self) -> list[Held]:
        """Versions that are to have a successor, unfinished ones left out."""
        return [one for one in self.found.held if one.version.is_sealed and not one.version.mark]

    @property
    def unfinished(self) -> list[Held]:
        return [one for one in self.found.held if not one.version.is_sealed]

    def lines(self, delete: bool) -> list[str]:
        """What was found and what will be done, for the owner's terminal."""
        lines = [line for held in self.found.held for line in self._of_version(held, delete)]
        for lora in self.found.loras:
            fate = "will be deleted" if delete else "--delete deletes it"
            lines.append(
                f"{lora.dataset} loras/{lora.name}: their LoRA is unit {lora.unit}; {fate}"
            )
        hint = closed_hint(self.names.key)
        lines += [f"{name}: NOT SEARCHED, people are called by pseudonyms there, {hint}"
                  for name in self.found.closed]  # fmt: skip
        return [*lines, *self._of_networks(), *self._beside()]

    def write(
        self, today: str, log: Log, version: str | None = None, *, partial: bool = False
    ) -> None:
        """Write the successors that are missing; raises PlanError as `succeed` does.

        Also before anything is written where some could not be searched, unless `partial`, and at
        the end where a version is not finished: it still holds the person. Raises ConfigError for a
        `version` that cannot be a folder's name.
        """
        if version:
            check_version("--version", version)
        if self.found.closed and not partial:
            raise PlanError(
                f"{', '.join(self.found.closed)}: not searched, people are called by pseudonyms "
                f"there, {closed_hint(self.names.key)}, show with --source CONFIG that it is the "
                "one, or leave them out with --partial"
            )
        if version and len(self.open) > 1:
            raise PlanError(
                f"--version: got {version} for {len(self.open)} versions; want none, so that each "
                "successor has the next free number"
            )
        for held in self.found.held:
            if held.version.is_sealed:
                succeed(held, self._dataset(held), today, log, version)
        if self.unfinished:
            one = self.unfinished[0]
            raise PlanError(
                f"{one.version.store.url}: is not finished and holds them; {self._to_remove(one)}"
            )

    def delete(self, today: str, log: Log) -> None:
        """Delete what withdrawn versions and sets of LoRAs hold of the person.

        What was made of a version comes before it, because it is found by that one's roster.
        """
        for held in reversed(self.found.held):
            if withdrawal_of(held.version.store):
                count = delete_held(held, self._dataset(held), today)
                log(f"{held.version.name}: {count} files deleted")
        for lora in self.found.loras:
            log(f"{lora.dataset} loras/{lora.name}: {delete_lora(lora)} files deleted")

    @property
    def versions(self) -> list[str]:
        """Versions that are deleted from with `delete`."""
        return [held.version.version for held in self.found.held if held.version.is_sealed]

    def _dataset(self, held: Held) -> Store:
        return self.root.below(held.version.dataset)

    def _of_version(self, held: Held, delete: bool) -> list[str]:
        version, own = held.version, ", ".join(map(str, sorted(held.indices)))
        count = _num_images(held)
        if not version.is_sealed:
            fate = f"it is not finished; {self._to_remove(held)}"
        elif version.mark:
            fate = f"it {version.mark.line}"
        else:
            fate = "a successor without them takes its place"
        line = f"{version.name}: {count} images of them (class {own}, units {held.units}); {fate}"
        if not delete or not version.is_sealed:
            return [line]
        names = [f"{version.version}/{name}" for name in names_held(held)]
        names += beside_held(held, self._dataset(held))
        blank = f"  to be blank: their row of {version.version}/{layout.ROSTER}"
        return [line, *(f"  to be deleted: {name}" for name in names), blank]

    def _to_remove(self, held: Held) -> str:
        """What is to be done with an unfinished version, and what lies beside it."""
        beside = list(beside_held(held, self._dataset(held)))
        folders = dict.fromkeys("/".join(name.split("/")[:2]) for name in beside)
        also = f" with {' and '.join(f'{folder}/' for folder in folders)}" if folders else ""
        return f"remove it{also}, or finish it and run this again"

    def _of_networks(self) -> list[str]:
        if not self.carrying:
            return ["networks: none is known to carry them (--networks FOLDER, --source CONFIG)"]
        digests = {network.record.sha256 for network in self.carrying}
        drawn = [v.name for v in self.found.versions if digests & set(_digests(v))]
        lines = ["networks that carry what they learned from them:", *cost_lines(self.carrying)]
        if drawn:
            lines.append(f"made by such networks, to be made again with others: {', '.join(drawn)}")
        return lines

    def _beside(self) -> list[str]:
        ledger = self.consent or "the table of source.consent"
        lines = [
            f"yours to do: remove their row from {ledger}, and their images from the source; "
            "exports, copies elsewhere and vectors in audit.embeddings_dir are not found by this"
        ]
        if plans := self._plans_with_names():
            lines.append(f"yours to do: plans that hold what they are called stay: {plans}")
        if in_bucket(self.root.url):
            lines.append(
                "yours to do: a bucket that keeps versions of objects keeps what is deleted; "
                "delete these too"
            )
        return lines

    def _plans_with_names(self) -> str:
        """plan.json of sets of LoRAs, and of releases that list what is asked for by name."""
        plans = [f"{one.dataset}/loras/{one.name}/{layout.PLAN}" for one in self.found.loras]
        for held in self.found.held:
            prompts, version = held.version.plan.request.prompts, held.version
            if prompts and {one.name for one in held.identities} & set(prompts.genders):
                plans.append(f"{version.dataset}/releases/{version.version}/{layout.PLAN}")
        return ", ".join(plans)


def find(
    address: str,
    person: str,
    settings: Sequence[str] = (),
    source: SourceConfig | None = None,
    networks: Iterable[str] = (),
) -> Withdrawal:
    """What descends from a person in the dataset at an address, and in others beside it.

    `source` is where the person's images came from, `networks` are folders of checkpoints. Raises
    PlanError for a person whom nothing there descends from, and for a virtual one; SourceError for
    one who is not in the source.
    """
    url, dataset = _split(address)
    root, key = open_url(url, settings), key_in_environment()
    faces = open_source(source) if source else None
    names = Names.of([person], key, faces.names if faces else ())
    labels = _labels(faces, names) if faces else {}
    found = search(root, dataset, names, frozenset(labels))
    at_hand = [one for folder in networks for one in networks_below(folder, settings)]
    told = [one for version in found.versions for one in _told_by(version)]
    held = dict.fromkeys(found.fingerprints, None) | labels
    carrying = carriers([*at_hand, *told], Sources(held, found.releases), names.given)
    if not carrying:
        refuse_nobody(found, dataset, person, key)
    return Withdrawal(root, found, carrying, source.consent if source else None, names)


def confirm(versions: list[str]) -> None:
    """Have the versions that are to be deleted from typed; raises PlanError for anything else."""
    wanted = " ".join(versions) or "yes"
    print(f"type {wanted} to delete what is listed: ", end="", flush=True)
    if sys.stdin.readline().strip() != wanted:
        raise PlanError("--delete: not confirmed, so nothing was written or deleted")


def _split(address: str) -> tuple[str, str]:
    """(store, dataset) of the address of a dataset."""
    if not in_bucket(address):
        path = Path(address).absolute()
        return str(path.parent), path.name
    root, _, dataset = address.rstrip("/").rpartition("/")
    return root, dataset


def _labels(faces: FaceSource, names: Names) -> dict[str, int | None]:
    """The person's place in the source, by its fingerprint; raises SourceError for nobody."""
    places = [place for place, name in enumerate(faces.names) if name in names.given]
    if not places:
        raise SourceError(
            f"--source: nobody of this name is among its {len(faces.names)} people; want the "
            "config that named the person's images"
        )
    return {faces.fingerprint: places[0]}


def _num_images(held: Held) -> int:
    """Kept images of the person that are still there."""
    store = held.version.readable
    units = [unit for unit in held.units if store.exists(layout.metadata_name(unit))]
    rows = (row for unit in units for row in metadata_rows(store, unit))
    return sum(row["identity"] in held.indices for row in rows)


def _told_by(version: Version) -> list[Network]:
    return told_of(_records(version), version.name)


def _records(version: Version) -> list[NetworkRecord]:
    """The networks that made a version: by its lineage, else their digests."""
    lineage = read_lineage(version.store)
    return list(lineage.networks) if lineage else untold_networks(version.plan.request.weights)


def _digests(version: Version) -> list[str]:
    return [record.sha256 for record in _records(version)]
