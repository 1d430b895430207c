"""Who is enrolled in a gallery and who is searched for in it, of faces that exist (METHODS 7).

A protocol is drawn from a source by a seed, told by a table, or laid out in folders; no image is
read for it. TinyFace's folders (Cheng, Zhu & Gong 2018, "Low-resolution face recognition") hold
Gallery_Match, Gallery_Distractor and Probe, whose images are named PERSON_NUMBER.

Shapes: N images of a source, I of them on a side, T templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from factory.config import IdentificationConfig, SourceConfig
from factory.errors import SourceError
from factory.seeds import stream_seed
from factory.sources import FaceSource, open_source
from factory.tables import Table, UserFile, nfc

ROLES = ("gallery", "probe")
TINYFACE = {"gallery_match": "gallery", "gallery_distractor": "distractor", "probe": "probe"}
"""Folders of TinyFace, in small letters, and what lies in each."""


@dataclass(frozen=True)
class Side:
    """The gallery or the probes: images, by their index in a source, that make templates.

    Nobody who is searched for has a negative number.
    """

    source: FaceSource
    index_I: np.ndarray
    template_I: np.ndarray
    """Template of each image, from 0 without gaps."""
    person_T: np.ndarray
    """Who each template is of; equal numbers on both sides are one person."""


@dataclass(frozen=True)
class Protocol:
    """Templates that are enrolled, and templates that are searched for."""

    gallery: Side
    probes: Side


def open_protocol(section: IdentificationConfig, config: SourceConfig) -> Protocol:
    """The protocol that a config asks for; raises SourceError where it has no mated search."""
    source = open_source(config.other if config.heldout else config)
    if section.protocol == "folders":
        kind = section.gallery_kind or config.kind
        alone = replace(config, kind=kind, path=section.gallery, heldout=None)
        alone = replace(alone, holdout_identities=0, holdout_fraction=0.0, num_identities=None)
        protocol = of_two_sources(open_source(alone), source)
    elif section.protocol == "table":
        return _checked(of_table(source, str(section.table)), "identification.table")
    elif section.protocol == "tinyface":
        protocol = of_tinyface(source)
    else:
        protocol = drawn(source, section.nonmated_fraction, section.seed)
    if section.templates == "person":
        protocol = replace(protocol, gallery=_one_a_person(protocol.gallery))
    return _checked(protocol, "source.path")


def drawn(source: FaceSource, nonmated_fraction: float, seed: int) -> Protocol:
    """One image of a person is enrolled, the others are searched for; some people are not enrolled.

    Whoever is enrolled with the only image is not searched for.
    """
    labels_N = np.asarray(source.labels)
    people, index_N = np.unique(labels_N, return_inverse=True)
    rng = np.random.Generator(np.random.Philox(stream_seed("gallery and probes", seed)))
    is_mated_P = np.ones(len(people), bool)
    is_mated_P[rng.permutation(len(people))[: round(nonmated_fraction * len(people))]] = False
    order_N = np.lexsort((rng.random(len(labels_N)), index_N))
    first = np.unique(index_N[order_N], return_index=True)[1]
    enrolled = np.sort(order_N[first][is_mated_P])
    searched = np.setdiff1d(np.arange(len(labels_N)), enrolled)
    return Protocol(
        _one_an_image(source, enrolled, labels_N[enrolled]),
        _one_an_image(source, searched, labels_N[searched]),
    )


def of_two_sources(gallery: FaceSource, probes: FaceSource) -> Protocol:
    """All of one source is enrolled, all of another searched for; people are known by their names.

    Names are compared in Unicode's composed form.
    """
    number = {nfc(name): index for index, name in enumerate(gallery.names)}
    of_probe = np.array(
        [number.get(nfc(name), len(number) + i) for i, name in enumerate(probes.names)], np.int64
    )
    enrolled = np.array([number[nfc(name)] for name in gallery.names], np.int64)
    return Protocol(
        _one_an_image(gallery, np.arange(len(gallery)), enrolled[np.asarray(gallery.labels)]),
        _one_an_image(probes, np.arange(len(probes)), of_probe[np.asarray(probes.labels)]),
    )


def of_tinyface(source: FaceSource) -> Protocol:
    """TinyFace's folders as a source whose people they are; raises SourceError for other folders.

    An image is of the person that its name says up to the first `_`; nobody is searched for who is
    among the distractors.
    """
    roles = [TINYFACE.get(str(name).rpartition("/")[2].lower()) for name in source.names]
    if None in roles or not {"gallery", "probe"} <= set(roles):
        raise SourceError(
            f"source.path: got {len(roles)} folders of images, {roles.count(None)} of them none of "
            "TinyFace's; want Gallery_Match, Probe and, if any, Gallery_Distractor alone, as in "
            "its Testing_Set"
        )
    names = [str(key).rpartition("/")[2].partition("_")[0] for key in source.keys]
    person_N = np.unique(names, return_inverse=True)[1].astype(np.int64)
    role_N = np.array(roles)[np.asarray(source.labels)]
    distractors = role_N == "distractor"
    person_N[distractors] = -1 - np.arange(distractors.sum())
    enrolled, probes = np.flatnonzero(role_N != "probe"), np.flatnonzero(role_N == "probe")
    return Protocol(
        _one_an_image(source, enrolled, person_N[enrolled]),
        _one_an_image(source, probes, person_N[probes]),
    )


def of_table(source: FaceSource, path: str) -> Protocol:
    """What a table with columns key, role and perhaps template says of a source's images.

    Raises SourceError for a table of another form, an image that the source has not, a template of
    two people, and an image on both sides.
    """
    file = UserFile("identification.table", path, "a CSV with columns key, role[, template]")
    table = Table(file)
    if set(table.columns) not in ({"key", "role"}, {"key", "role", "template"}):
        raise file.refuse(f"has columns {', '.join(table.columns)}", 1)
    index_of = {nfc(str(key)): index for index, key in enumerate(source.keys)}
    labels_N, side_of = np.asarray(source.labels), dict[int, str]()
    rows: dict[str, dict[tuple[str, int], list[int]]] = {role: {} for role in ROLES}
    for line, cells in table.rows():
        row = dict(zip(table.columns, cells, strict=True))
        role, index = row["role"], index_of.get(row["key"])
        if role not in ROLES:
            raise file.refuse("has a role that is neither gallery nor probe", line)
        if index is None:
            raise file.refuse("names an image that is not in the source", line)
        if side_of.setdefault(index, role) != role:
            raise file.refuse("has an image as a probe that is in the gallery too", line)
        name = row.get("template", "")
        images = rows[role].setdefault((name, -1) if name else ("", line), [])
        if images and labels_N[images[0]] != labels_N[index]:
            raise file.refuse("has a template that is of two people", line)
        images.append(index)
    for role in ROLES:
        if not rows[role]:
            raise file.refuse(f"has no row of role {role}")
    return Protocol(*(_side(source, list(rows[role].values())) for role in ROLES))


def _side(source: FaceSource, templates: Sequence[Sequence[int]]) -> Side:
    """Templates by the images of each."""
    sizes = [len(images) for images in templates]
    first = np.array([images[0] for images in templates])
    return Side(
        source,
        np.concatenate([np.asarray(images, np.int64) for images in templates]),
        np.repeat(np.arange(len(templates)), sizes),
        np.asarray(source.labels)[first],
    )


def _one_an_image(source: FaceSource, index_I: np.ndarray, person_I: np.ndarray) -> Side:
    return Side(source, index_I, np.arange(len(index_I)), np.asarray(person_I, np.int64))


def _one_a_person(side: Side) -> Side:
    """All images of a person in one template."""
    person_I = side.person_T[side.template_I]
    person_T, template_I = np.unique(person_I, return_inverse=True)
    return Side(side.source, side.index_I, template_I, person_T)


def _checked(protocol: Protocol, key: str) -> Protocol:
    """The protocol; raises SourceError where nobody who is searched for is enrolled."""
    enrolled, searched = protocol.gallery.person_T, protocol.probes.person_T
    if not np.isin(searched, enrolled[enrolled >= 0]).any():
        raise SourceError(
            f"{key}: nobody of {len(searched)} probes is among {len(enrolled)} entries of the "
            "gallery, so that no search can be right; want probes of people who are enrolled, or "
            "for identification.protocol=made people with two images at least"
        )
    return protocol
