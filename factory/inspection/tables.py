"""The figures of an inspection as rows and sentences, for its page and for the terminal."""

from __future__ import annotations

from typing import Any

from factory.inspection.findings import (
    Contents,
    CopyFindings,
    Counted,
    DoubleName,
    Faces,
    Inspection,
    LabelFindings,
    PairsOverlap,
    SetOverlap,
    Values,
)
from factory.sources.left_out import REASONS

Rows = list[tuple[Any, ...]]
SHOWN = 60
"""Rows of a ranked table; inspect.json has more."""
WARNED = 12
"""Warnings in a terminal."""


def all_tables(found: Inspection) -> dict[str, Any]:
    """Every table and sentence of the page, by the name that its template gives it."""
    labels, against = found.labels, found.against
    return {
        "contents": contents(found.contents),
        "extremes": _named(found.contents.fewest) + _named(found.contents.most[::-1]),
        "left_out": left_out(found),
        "faces": faces(found.faces),
        "looks": looks(found.looks),
        "copies": copies(found.copies),
        "judge_line": f"By the recognizer {labels.judge}." if labels else "",
        "doubles_line": doubles_line(labels) if labels else "",
        "doubles": _doubles(labels.doubles) if labels else [],
        "mislabeled_line": mislabeled_line(labels) if labels else "",
        "mislabeled": _mislabeled(labels) if labels else [],
        "pairs_table": _pairs(found.pairs) if found.pairs else [],
        "against_table": _against(against) if against else [],
        "against_line": against_line(against) if against else "",
        "same_people": _doubles(against.same_people) if against else [],
    }


def banner(found: Inspection) -> str:
    """The page in one line."""
    people = f"{found.contents.people} people, {found.contents.images} images"
    count = len(found.warnings)
    return f"{people}: {count} finding{'s' if count != 1 else ''}" if count else f"{people}: fine"


def summary(found: Inspection) -> list[str]:
    """What a person reads in the terminal."""
    one, seen = found.contents, found.faces
    looked = f"{one.looked_at_images} of {one.images} images looked at"
    lines = [
        f"source       {found.source} ({found.kind})",
        f"contents     {one.people} people, {one.images} images, {looked}",
        f"images       {_spread(one.images_per_person)} a person; {_counted(one.formats)}; "
        f"{_counted(one.sizes[:3])}",
        f"faces        {seen.found} found, none in {seen.none}, several in {seen.several}",
        f"copies       {found.copies.within} pairs of one person, {found.copies.across} of two",
    ]
    if found.labels:
        lines.append(
            f"labels       {found.labels.num_doubles} pairs of names are likely one person, "
            f"{found.labels.num_mislabeled} images doubted (by {found.labels.judge})"
        )
    lines += [f"warning      {line}" for line in found.warnings[:WARNED]]
    if len(found.warnings) > WARNED:
        lines.append(f"warning      and {len(found.warnings) - WARNED} more, on the page")
    lines += [f"note         {line}" for line in found.notes[:WARNED]]
    return [*lines, *(f"next         {recipe.command}" for recipe in found.recipes[:1])]


def contents(one: Contents) -> Rows:
    """Counts of people and images, sizes, formats and color modes."""
    rows: Rows = [
        ("people", one.people),
        ("images", one.images),
        ("looked at", f"{one.looked_at_images} images of {one.looked_at_people} people"),
        ("images a person", _spread(one.images_per_person)),
        ("bytes of these", f"{one.bytes / 1e6:.1f} MB"),
        ("formats", _counted(one.formats)),
        ("color modes", _counted(one.modes)),
        ("without color", f"{one.gray_fraction:.1%}"),
        ("sizes", f"{_counted(one.sizes[:8])}{' ...' if one.num_sizes > 8 else ''}"),
    ]
    return rows


def left_out(found: Inspection) -> Rows:
    """What is not read, by reason, and what is corrupt."""
    rows: Rows = [
        (REASONS.get(part.reason, part.reason), part.count, ", ".join(part.first[:5]))
        for part in found.left_out
    ]
    if found.corrupt:
        rows.append(
            ("images that cannot be read", found.corrupt, "; ".join(found.corrupt_first[:5]))
        )
    return rows


def faces(one: Faces) -> Rows:
    """Faces found, and how they fit the template."""
    rows: Rows = [
        ("a face found", one.found),
        ("none", _first(one.none, one.without_face)),
        ("several", _first(one.several, one.with_several)),
    ]
    if one.eye_px:
        rows.append(("eye distance in the image, px", _spread(one.eye_px)))
    if one.residual_px:
        rows.append(("alignment residual, px at 112", _spread(one.residual_px)))
        share = one.beyond_fraction or 0.0
        rows.append((f"beyond {one.max_residual_px:g} px", f"{share:.1%}"))
    return rows


def looks(by_name: dict[str, Values | None]) -> Rows:
    """Light, pose and quality in short."""
    return [
        (name, one.count, *(f"{x:.4g}" for x in (one.mean, one.p05, one.median, one.p95)))
        for name, one in by_name.items()
        if one
    ]


def copies(one: CopyFindings) -> Rows:
    """How many images are one picture."""
    return [
        ("pairs of one person", one.within),
        ("pairs of different people", one.across),
        ("of all pairs, the same bytes", one.same_bytes),
        ("images that add nothing", one.extra_images),
    ]


def doubles_line(labels: LabelFindings) -> str:
    """How many names are double, the limit and how it was chosen."""
    if labels.doubles_limit is None:
        return labels.doubles_note
    return (
        f"{labels.num_doubles} pairs. The means of two people's images are nearer than "
        f"{labels.doubles_limit:.3f}, a cosine that {labels.doubles_fpir:.1%} of people without a "
        "second name would exceed, extrapolated from the source's own strangers; or two images are "
        "nearer than 95 % of one person's pairs."
    )


def mislabeled_line(labels: LabelFindings) -> str:
    """How many images are mislabeled, the limit and how it was chosen."""
    if labels.mislabeled_note:
        return labels.mislabeled_note
    return (
        f"{labels.num_mislabeled} images. Their cosine to the core of their person's other images "
        f"is below {labels.mislabeled_limit:.3f}, as that of {labels.mislabeled_found:.1%} of "
        "strangers is; at most 3 % of own images are estimated to lie there. By how the scores "
        f"are distributed, about {labels.mislabeled_estimate} are somebody else's. The worst are "
        "first: where a person has two images, either may be the mislabeled one."
    )


def against_line(one: SetOverlap) -> str:
    """What the comparison of faces means."""
    if one.near_images is None:
        return one.note
    return (
        f"{one.near_images} images here are nearer than {one.near_limit:.3f} to somebody there; "
        f"{one.near_expected:.2%} of the images there are as near to a stranger. {one.note}"
    ).strip()


def _pairs(one: PairsOverlap) -> Rows:
    rows: Rows = [("pairs", one.num_pairs)]
    if one.num_people is not None:
        rows.append(("people it names", one.num_people))
        rows.append(("of these in the source", _first(one.num_same_names, one.same_names)))
    rows.append(("its images in the source", _first(one.num_same_images, one.same_images)))
    return rows


def _against(one: SetOverlap) -> Rows:
    rows: Rows = [
        ("people and images there", f"{one.people} and {one.images}"),
        ("people of the same name", _first(one.num_same_names, one.same_names)),
        ("images here that are images there", one.num_same_images),
    ]
    if one.num_same_people is not None:
        limit = f" (cosine above {one.people_limit:.3f})" if one.people_limit else ""
        rows.append(("people here who likely are there", f"{one.num_same_people}{limit}"))
    return rows


def _mislabeled(labels: LabelFindings) -> Rows:
    return [
        (
            *(one.key, one.person, one.num_images, f"{one.cosine:.3f}"),
            *(one.nearest, f"{one.nearest_cosine:.3f}"),
        )
        for one in labels.mislabeled[:SHOWN]
    ]


def _doubles(pairs: list[DoubleName]) -> Rows:
    return [(one.first, one.second, f"{one.cosine:.3f}", one.by) for one in pairs[:SHOWN]]


def _named(items: list[Counted]) -> Rows:
    return [(one.name, one.count) for one in items]


def _counted(items: list[Counted]) -> str:
    return ", ".join(f"{one.name} {one.count}" for one in items) or "none"


def _spread(one: Values | None) -> str:
    if one is None:
        return "n/a"
    return f"median {one.median:.4g}, {one.min:.4g} to {one.max:.4g}"


def _first(count: int, names: list[str]) -> str:
    return f"{count}{': ' if names else ''}{', '.join(names[:5])}{' ...' if count > 5 else ''}"
