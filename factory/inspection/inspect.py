"""The story of an inspection: open, look at every image once, compare, and say what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from factory.config import Config, SourceConfig, StoreConfig
from factory.errors import CheckpointError, SourceError
from factory.evaluation.embeddings import RecognizerSpace, Space
from factory.inspection.faces import Looker
from factory.inspection.findings import (
    Contents,
    CopyFindings,
    Counted,
    Faces,
    Inspection,
    LabelFindings,
    NotRead,
    values,
)
from factory.inspection.guess import guess_aligned_px, guess_kind, source_path
from factory.inspection.looked import Looked, OnImage, look_at, sampled_people
from factory.inspection.near_copies import IDENTICAL, Copies, copies_within, groups_of
from factory.inspection.overlap import copy_pairs, open_pairs_file, set_overlap
from factory.inspection.people import LISTED, JudgedPeople, label_findings
from factory.inspection.recipes import Facts, assignments, fitting
from factory.inspection.warnings import notes_of, warnings_of
from factory.provenance.faces import holds_real_people
from factory.recognition.embed import Recognizer
from factory.recognition.external import DLIB, open_embedder
from factory.recognition.judge import KEY, judge_of
from factory.sources import FaceSource, open_source
from factory.sources.tar_set import release_of
from factory.training.distributed import pick_device

MAX_RESIDUAL_PX = 10.0
"""Residual at 112 px above which a face is not aligned; of sets that other detectors aligned, 99 %
are below (README of this room)."""
NO_JUDGE = "none"
OF_ANY = frozenset({"source.image_px"})
"""Keys that hold for another source too, where the person gave them."""
SAMPLE_FIRST = 12


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    address: str
    config: Config
    given: frozenset[str] = frozenset()
    """Dotted keys that the person gave."""
    against: str | None = None
    pairs: str | None = None
    sample: int | None = None
    judge: str | None = None


@dataclass(frozen=True)
class Inspected:
    """A looked-at source: what was found, and what its pictures are read by."""

    found: Inspection
    people: JudgedPeople
    looker: Looker
    other: tuple[JudgedPeople, Looker] | None


@dataclass(frozen=True)
class _Opened:
    config: SourceConfig
    source: FaceSource
    looker: Looker
    aligned_px: int | None


Watch = Callable[[str], OnImage]
"""Makes what hears of the images of a source that is looked at."""


def inspect(request: Request, watch: Watch = lambda name: lambda done, total: None) -> Inspected:
    """Look at a dataset and compare it; raises FactoryError in one line for what is none."""
    store = request.config.store
    own = request.config.source.rendered_as(request.config.rendering)
    pairs = open_pairs_file(request.pairs, own.max_pixels) if request.pairs else None
    mine = opened(request.address, own, request.given, store)
    other = None
    if request.against:
        other = opened(request.against, settings_of_any(own), request.given & OF_ANY, store)
    config = replace(request.config, source=mine.config)
    judge, name, note = open_judge(config, request.judge)
    quality = _quality(config)
    looked = _look(mine, request.sample, judge, quality, watch(request.address))
    people = JudgedPeople(looked, mine.source)
    comparable = judge is not None and len(looked.judged) > 1
    found = _found(request, mine, people, (name, note), comparable)
    found = replace(found, pairs=pairs.overlap(mine.source, looked) if pairs else None)
    second = None
    if other is not None and request.against:
        seen = _look(other, request.sample, judge, None, watch(request.against))
        theirs = JudgedPeople(seen, other.source)
        has_judge = comparable and len(seen.judged) > 0
        found = replace(found, against=set_overlap(request.against, people, theirs, has_judge))
        second = theirs, other.looker
    found = replace(found, warnings=warnings_of(found), notes=notes_of(found))
    return Inspected(found, people, mine.looker, second)


def settings_of_any(own: SourceConfig) -> SourceConfig:
    """Of a source's settings those that hold for another one; tables and columns are its own."""
    return SourceConfig(image_px=own.image_px, max_pixels=own.max_pixels, store=own.store)


def opened(
    address: str, config: SourceConfig, given: frozenset[str], store: StoreConfig
) -> _Opened:
    """A source of the kind that lies at an address, unless source.kind is given.

    Nothing that a training would refuse it for stands in the way of looking; faces are seen as
    recognizers want them, whatever the zoom. `store` says how a bucket is reached.
    """
    kind = config.kind if "source.kind" in given else guess_kind(address)
    loose = {"max_corrupt_fraction": 1.0, "max_left_out_fraction": 1.0, "heldout": None}
    config = replace(config, kind=kind, path=source_path(address, kind), zoom=1.0, **loose)  # type: ignore[arg-type]
    config = config.reached_by(store)
    source = open_source(config)
    if not len(source):
        raise SourceError(f"{address}: holds no image")
    aligned_px = config.image_px if "source.image_px" in given else guess_aligned_px(source)
    if aligned_px is None and config.resize:
        aligned_px = config.image_px
    return _Opened(config, source, Looker.opened(source, config, aligned_px), aligned_px)


def open_judge(config: Config, wanted: str | None) -> tuple[Space | None, str, str]:
    """The judge's space, its name, and why there is none."""
    name = judge_of(config) if wanted is None else wanted
    if name is None or name == NO_JUDGE:
        return None, "", "no judge was asked for: people are not compared"
    try:
        embedder = open_embedder(name, pick_device(config.compute), KEY)
    except CheckpointError as error:
        if wanted is not None or name != DLIB:
            raise
        return None, "", f"people are not compared: the judge for photographs is missing ({error})"
    return RecognizerSpace(embedder), name, ""


def _quality(config: Config) -> Recognizer | None:
    name = config.features.quality
    return None if name is None else Recognizer.load(name, torch.device("cpu"), "features.quality")


def _look(
    one: _Opened,
    sample: int | None,
    judge: Space | None,
    quality: Recognizer | None,
    on_image: OnImage,
) -> Looked:
    people = sampled_people(one.source.names, sample)
    return look_at(one.source, one.looker, people, judge, quality, on_image)


def _found(
    request: Request, mine: _Opened, people: JudgedPeople, judge: tuple[str, str], comparable: bool
) -> Inspection:
    looked, source = people.looked, mine.source
    proposed = people.lookalikes_P2 if comparable else np.empty((0, 2), np.int64)
    copies = copies_within(looked.hashes_NV32, looked.digests_N16, looked.labels, proposed)
    labels: LabelFindings | None = None
    note = judge[1]
    if comparable:
        labels, _ = label_findings(people, judge[0])
    elif not note:
        note = "people are not compared: fewer than two faces were found"
    facts = Facts(
        request.address,
        mine.config.kind,
        len(source.names),
        len(source),
        mine.aligned_px,
        release_of(mine.config) is not None,
        holds_real_people(mine.config),
        assignments(request.config.source, request.given),
    )
    return Inspection(
        request.address,
        mine.config.kind,
        contents_of(source, looked),
        [NotRead(part.reason, part.count, list(part.first)) for part in source.left_out],
        len(looked.corrupt) + len(source.corrupt),
        [*source.corrupt, *looked.corrupt][:LISTED],
        faces_of(people, mine.aligned_px),
        {name: values(looked.measures[name]) for name in LOOKS},
        copies_of(copies, people),
        labels,
        note,
        None,
        None,
        recipes=fitting(facts),
    )


LOOKS = (
    *("brightness", "contrast", "sharpness"),
    *("yaw", "pitch", "roll", "score", "quality"),
)
"""Measures that are told as histograms."""


def contents_of(source: FaceSource, looked: Looked) -> Contents:
    """Counts of people and images, sizes, formats and color modes."""
    counts = np.bincount(source.labels, minlength=len(source.names))
    order = np.argsort(counts, kind="stable")
    sizes = Counter(f"{width}x{height}" for _, _, width, height in looked.headers)
    by_count = sorted(Counter(counts.tolist()).items())

    def named(labels: np.ndarray) -> list[Counted]:
        return [Counted(str(source.names[label]), int(counts[label])) for label in labels]

    def tally(items: Counter[str]) -> list[Counted]:
        return [Counted(name, count) for name, count in items.most_common(20)]

    return Contents(
        len(source.names),
        len(source),
        len(np.unique(looked.labels)),
        len(looked),
        values(counts.astype(float)),
        by_count[:50],
        named(order[:SAMPLE_FIRST]),
        named(order[::-1][:SAMPLE_FIRST]),
        int(looked.num_bytes.sum()),
        tally(Counter(form for form, _, _, _ in looked.headers)),
        tally(Counter(mode for _, mode, _, _ in looked.headers)),
        tally(sizes),
        len(sizes),
        float(looked.is_gray.mean()) if len(looked) else 0.0,
        list(source.remarks),
    )


def faces_of(people: JudgedPeople, aligned_px: int | None) -> Faces:
    """How many faces a detector finds, how large they are, and how far from the template."""
    measures = people.looked.measures
    count, residual = measures["num_faces"], measures["residual_px"]
    known = residual[np.isfinite(residual)]
    order = np.argsort(-np.nan_to_num(residual, nan=-1.0), kind="stable")[:SAMPLE_FIRST]
    return Faces(
        aligned_px,
        int((count >= 1).sum()),
        int((count == 0).sum()),
        int((count > 1).sum()),
        [people.key(int(row)) for row in np.flatnonzero(count == 0)[:LISTED]],
        [people.key(int(row)) for row in np.flatnonzero(count > 1)[:LISTED]],
        values(measures["eye_px"]),
        values(residual),
        MAX_RESIDUAL_PX,
        float((known > MAX_RESIDUAL_PX).mean()) if len(known) else None,
        [(people.key(int(row)), float(residual[row])) for row in order if residual[row] >= 0],
    )


def copies_of(copies: Copies, people: JudgedPeople) -> CopyFindings:
    """Near-duplicates, those of one person apart from those of two."""
    labels = people.looked.labels
    own_P = labels[copies.pairs_P2[:, 0]] == labels[copies.pairs_P2[:, 1]]
    groups = groups_of(copies.pairs_P2, len(labels))

    def part(mask_P: np.ndarray) -> Copies:
        chosen = copies.pairs_P2[mask_P], copies.bits_P[mask_P], copies.mirrored_P[mask_P]
        return Copies(*chosen)

    return CopyFindings(
        int(own_P.sum()),
        int((~own_P).sum()),
        len(labels) - len(np.unique(groups)),
        int((copies.bits_P == IDENTICAL).sum()),
        copy_pairs(part(own_P), people, people, LISTED),
        copy_pairs(part(~own_P), people, people, LISTED),
    )
