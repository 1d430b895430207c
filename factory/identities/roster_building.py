"""Decides who is in a release: virtual people through the gate, and people of the source."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from factory.config import Config, PlanConfig
from factory.errors import IntegrityError, PlanError
from factory.identities.gallery import FixedGallery, Gallery, itself
from factory.identities.gate import admit
from factory.identities.groups import Groups, read_labels
from factory.identities.inquiry import InquiryPool, inquiry_source
from factory.identities.mixing import Mixes
from factory.identities.packing import Packing, pack
from factory.identities.people import People
from factory.identities.private_people import NOBODY, PrivatePeople
from factory.identities.proposals import PcaProposal, Pool, Proposal, colored_prototypes
from factory.identities.roster import Roster
from factory.provenance.naming import Naming
from factory.recognition.embed import Recognizer
from factory.sources import FaceSource
from factory.sources.base import SourceFace, check_all_readable, iterate_faces
from factory.sources.tar_set import release_of
from factory.training.distributed import device_here

BATCH = 64
BY_NAMES = Naming()


def build_roster(
    config: Config,
    recognizer: Recognizer,
    source: FaceSource,
    max_cosine: float,
    *,
    further: Sequence[FixedGallery] = (),
    unit_earlier_ED: np.ndarray | None = None,
    first_identity: int = 0,
    naming: Naming = BY_NAMES,
    loras: Mapping[str, int] | None = None,
) -> Roster:
    """The roster of a config; labels are row numbers, counted from `first_identity`.

    Virtual identities come first, then real ones with plan.fill_to; with release.method=edit it
    holds the people of the source who are edited. The gate's gallery holds the recognizer's real
    prototypes, the source's class centers and the `further` real people; identities of earlier
    releases count as others, as those of this one do. Real people are called as `naming` says;
    `loras` are the units of their LoRAs by names in the source, where these draw them.
    """
    centers_ND, keys = class_centers(recognizer, source, config.source.max_corrupt_fraction)
    if config.release.method == "edit":
        empty = Roster([], np.empty((0, recognizer.dim), np.float32))
        edited = _edited(config, keys)
        return _with_source(empty, edited, recognizer, source, centers_ND, naming)
    real_ND = np.concatenate([recognizer.unit_real, centers_ND])
    num_earlier = 0 if unit_earlier_ED is None else len(unit_earlier_ED)
    groups = learn_groups(config, source, centers_ND)
    num_virtual = config.plan.num_admitted(config.identities.num_virtual)
    mixes = Mixes.of(config, max_cosine, num_earlier)
    proposal = propose(config, recognizer, centers_ND, real_ND, max_cosine, num_earlier)
    admitted = admit(
        proposal,
        real_ND,
        num_identities=mixes.num_plain,
        max_cosine=max_cosine,
        max_attempts=config.identities.max_attempts,
        further=further,
        unit_earlier_ED=unit_earlier_ED,
        groups=groups if config.identities.quotas else None,
        num_more=mixes.count,
        more=mixes.proposal,
    )
    originals: list[tuple[str, ...]] = []
    if isinstance(proposal, InquiryPool) and config.identities.inquiry_copies:
        originals = proposal.keys_of(admitted.attempts)
    name, unit_ND = config.identities.proposal, admitted.unit_ND
    virtual = Roster(
        People.filled(
            num_virtual,
            index=first_identity + np.arange(num_virtual),
            kind="virtual",
            attempt=admitted.attempts,
            nearest_real_cosine=admitted.nearest_real,
            nearest_other_cosine=admitted.nearest_other,
            nearest_other=indices_of(admitted.nearest_index, first_identity),
            num_shots=planned_shots(config.plan, num_virtual),
            group=_group_names(groups, unit_ND),
            originals=originals,
            **mixes.columns(name, unit_ND, admitted.attempts, first_identity),
        ),
        unit_ND,
    )
    if not config.plan.fill_to:
        return virtual
    unit_SD = centers_ND
    if config.release.method != "lora":
        unit_SD = recognizer.unit_real[_prototypes(recognizer, source, naming)]
    to_fill_up = _to_fill_up(config.plan.fill_to, keys)
    if not to_fill_up and not virtual.identities:
        raise PlanError(
            f"plan.fill_to: everybody in the source has {config.plan.fill_to} images already, so "
            "there is nothing to make; want a larger plan.fill_to or identities.num_virtual"
        )
    return _with_source(
        virtual, to_fill_up, recognizer, source, unit_SD, naming, first_identity, loras
    )


def real_people_again(
    method: str,
    people: People,
    recognizer: Recognizer,
    source: FaceSource,
    naming: Naming,
    max_corrupt_fraction: float,
) -> PrivatePeople:
    """What is private of the real `people` of a roster, from the source that they come from.

    LoRAs are left out. Raises IntegrityError for people whom the source does not have under this
    naming.
    """
    label_of = {naming.of(name): label for label, name in enumerate(source.names)}
    named = people.texts("name").to_pylist()
    missing = [name for name in named if name and name not in label_of]
    if missing:
        raise IntegrityError(
            f"source.path: has nobody who is called {missing[0]!r} ({len(missing)} of {len(named)} "
            f"people of the release); {naming.remedy}"
        )
    labels = [label_of.get(name, NOBODY) for name in named]  # who withdrew has no name
    if method == "diffusion":
        unit_SD = recognizer.unit_real[_prototypes(recognizer, source, naming)]
        return _private(labels, recognizer, source, unit_SD, [])
    unit_SD, keys = class_centers(recognizer, source, max_corrupt_fraction)
    edited = [tuple(keys[label]) if label != NOBODY else () for label in labels]
    return _private(labels, recognizer, source, unit_SD, edited if method == "edit" else [])


def planned_shots(plan: PlanConfig, num_virtual: int) -> np.ndarray:
    """Images planned of each virtual identity: none of the reserves, the last ones of a unit."""
    row_N = np.arange(num_virtual)
    end_N = np.minimum((row_N // plan.unit_size + 1) * plan.unit_size, num_virtual)
    return np.where(row_N < end_N - plan.num_reserves, plan.images_per_identity, 0)


def open_recognizer(config: Config) -> Recognizer:
    """Load the conditioning recognizer, with the planned number of threads (they decide bits).

    On the CPU where this process has no GPU.
    """
    import torch

    torch.set_num_threads(config.plan.num_threads)
    return Recognizer.load(config.recognizer.checkpoint, device_here(config.compute))


def class_centers(
    recognizer: Recognizer, source: FaceSource, max_corrupt_fraction: float
) -> tuple[np.ndarray, list[list[str]]]:
    """Unit mean embeddings of all identities [N, D] and keys of their images, in one pass."""
    sums = np.zeros((len(source.names), recognizer.dim))
    keys: list[list[str]] = [[] for _ in source.names]
    for unit_BD, faces in embedded(recognizer, source, max_corrupt_fraction):
        np.add.at(sums, [face.label for face in faces], unit_BD)
        for face in faces:
            keys[face.label].append(face.key)
    check_all_readable(source, np.array([label for label, own in enumerate(keys) if own]))
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / norms).astype(np.float32), keys


def embedded(
    recognizer: Recognizer, source: FaceSource, max_corrupt_fraction: float
) -> Iterator[tuple[np.ndarray, list[SourceFace]]]:
    """All readable faces of a source in order, as batches of (unit embeddings [B, D], faces)."""
    faces = iterate_faces(source, max_corrupt_fraction, [])
    while batch := list(itertools.islice(faces, BATCH)):
        images = np.stack([face.image_HWC for face in batch])
        yield recognizer.embed(images), batch


def learn_groups(config: Config, source: FaceSource, centers_ND: np.ndarray) -> Groups | None:
    """A classifier of groups, learned from the class centers of the source's people.

    None where no identities.attributes are given.
    """
    if not config.identities.attributes:
        return None
    labels = read_labels(config.identities, source)
    labeled = [index for index, name in enumerate(source.names) if name in labels]
    groups = [labels[source.names[index]] for index in labeled]
    return Groups(centers_ND[labeled], groups, config.identities.quotas)


def propose(
    config: Config,
    recognizer: Recognizer,
    centers_ND: np.ndarray,
    real_ND: np.ndarray,
    max_cosine: float,
    num_earlier: int,
) -> Proposal | Pool:
    """The candidates of identities.proposal; `max_cosine` is the gate's."""
    identities = config.identities
    if identities.proposal == "prototypes":
        return Pool("prototypes", recognizer.unit_virtual)
    if identities.proposal == "colored":
        return colored_prototypes(recognizer.unit_virtual, centers_ND)
    if identities.proposal == "inquiry":
        taken = inquiry_source(config)
        batches = list(embedded(recognizer, taken, config.source.max_corrupt_fraction))
        keys = tuple(face.key for _, faces in batches for face in faces)
        return InquiryPool("inquiry", np.concatenate([unit_BD for unit_BD, _ in batches]), keys)
    pca = PcaProposal(centers_ND, identities.pca_dims, config.release.seed)
    if identities.proposal == "pca":
        return pca
    wanted = config.plan.num_admitted(identities.num_virtual)
    wanted -= identities.mix.count(wanted)
    num_points = math.ceil(wanted * identities.packing_surplus)
    everybody = num_earlier + np.arange(num_points)
    settings = Packing(rounds=identities.packing_rounds, pull=identities.packing_pull)
    with threadpool_limits(config.plan.num_threads):  # because threads decide bits
        start_ND = pca.draw(everybody, np.zeros_like(everybody))
        return Pool("packing", pack(start_ND, real_ND, max_cosine, settings))


def _prototypes(recognizer: Recognizer, source: FaceSource, naming: Naming) -> list[int]:
    """Rows of the source's people among the recognizer's prototypes; raises PlanError."""
    rows = {name: row for row, name in enumerate(recognizer.real_names)}
    unknown = [name for name in source.names if name not in rows]
    if unknown:
        raise PlanError(
            f"plan.fill_to: the recognizer has no prototype of {naming.of(unknown[0])!r} "
            f"({len(unknown)} "
            "people of the source); train it on this source"
        )
    return [rows[name] for name in source.names]


@dataclass(frozen=True)
class FromSource:
    """A person of the source of whom images are made."""

    label: int
    kind: str
    num_shots: int
    originals: tuple[str, ...] = ()


def _to_fill_up(fill_to: int, keys: list[list[str]]) -> list[FromSource]:
    """People with fewer than `fill_to` images, to be filled up."""
    return [
        FromSource(label, "real", fill_to - len(own))
        for label, own in enumerate(keys)
        if len(own) < fill_to
    ]


def _edited(config: Config, keys: list[list[str]]) -> list[FromSource]:
    """Everybody, with editing.edits_per_image images planned of each of theirs."""
    origin = release_of(config.source)
    kind = "real" if origin is None or origin["holds_real_identities"] else "edited"
    per_image = config.editing.edits_per_image
    return [
        FromSource(label, kind, per_image * len(own), tuple(own)) for label, own in enumerate(keys)
    ]


def _with_source(
    virtual: Roster,
    wanted: list[FromSource],
    recognizer: Recognizer,
    source: FaceSource,
    unit_SD: np.ndarray,
    naming: Naming,
    first_identity: int = 0,
    loras: Mapping[str, int] | None = None,
) -> Roster:
    """Append people of the source with their vectors in `unit_SD`.

    These are prototypes for a generator that was conditioned on them, else class centers.
    """
    labels = [person.label for person in wanted]
    unit_ND = np.concatenate([virtual.unit_ND, unit_SD[labels]])
    everybody, real = Gallery(recognizer.dim), Gallery(recognizer.dim)
    everybody.add(unit_ND)
    real.add(recognizer.unit_real)
    nearest_cosine, nearest_index = everybody.nearest_with_index(
        unit_ND, without=itself(0, len(unit_ND))
    )
    own = np.array(_rows_of(labels, recognizer, source, len(real)))
    nearest_real = real.nearest(unit_SD[labels], without=(own, own + 1)).round(6)
    num_virtual = len(virtual.identities)
    added = People.filled(
        len(wanted),
        index=first_identity + num_virtual + np.arange(len(wanted)),
        kind=[person.kind for person in wanted],
        proposal="source",
        attempt=0,
        nearest_real_cosine=nearest_real,
        nearest_other_cosine=[round(one, 6) for one in nearest_cosine[num_virtual:].tolist()],
        nearest_other=indices_of(nearest_index[num_virtual:], first_identity),
        num_shots=[person.num_shots for person in wanted],
        name=[naming.of(source.names[person.label]) for person in wanted],
        originals=[naming.keys(source.names[one.label], one.originals) for one in wanted],
    )
    people, edited = People.joined([virtual.people, added]), [one.originals for one in wanted]
    if not wanted or any(person.kind != "real" for person in wanted):
        return Roster(people, unit_ND)
    units = [loras[source.names[label]] for label in labels] if loras is not None else []
    private = _private(labels, recognizer, source, unit_SD, edited if any(edited) else [])
    return Roster(people, unit_ND, replace(private, loras=tuple(units)))


def _private(
    labels: list[int],
    recognizer: Recognizer,
    source: FaceSource,
    unit_SD: np.ndarray,
    edited: list[tuple[str, ...]],
) -> PrivatePeople:
    """What is private of the people of a source with these labels; `edited` are their images."""
    rows = _rows_of(labels, recognizer, source, NOBODY)
    unit_RD = np.ascontiguousarray(unit_SD[labels], np.float32)
    unit_RD[np.array(labels, np.int64) == NOBODY] = 0
    return PrivatePeople(unit_RD, tuple(labels), tuple(rows), tuple(edited))


def _rows_of(
    labels: list[int], recognizer: Recognizer, source: FaceSource, missing: int
) -> list[int]:
    """Rows of a source's people among the recognizer's real prototypes; `missing` where none is."""
    row = {name: index for index, name in enumerate(recognizer.real_names)}
    return [
        missing if label == NOBODY else row.get(source.names[label], missing) for label in labels
    ]


def _group_names(groups: Groups | None, unit_ND: np.ndarray) -> pa.Array | str:
    """The group of each vector, "" for all of them without groups."""
    if not groups:
        return ""
    return pa.array(groups.names, pa.string()).take(pa.array(groups.predict(unit_ND)))


def indices_of(row_N: np.ndarray, first_identity: int) -> np.ndarray:
    """Indices of rows; -1 stays nobody."""
    return np.where(row_N >= 0, first_identity + row_N, -1)
