"""What of a source is not read: by reason, how many, and which first.

A reader that leaves something out adds it to a Tally; a line for each reason is printed, counted in
reports, and refuses the source where it is more than source.max_left_out_fraction allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from factory.errors import SourceError

EXAMPLES = 20
"""Names that are kept of each reason."""
SYSTEM_FILE = "system_file"
OTHER_FILE = "other_file"
SAME_NAME = "same_name"
UNKNOWN_FORMAT = "unknown_format"
NO_DECODER = "no_decoder"
DANGLING_LINK = "dangling_link"
SPARSE = "sparse"
DEEPER_FOLDER = "deeper_folder"
LOOSE_FILE = "loose_file"
EMPTY_FOLDER = "empty_folder"
NO_LABEL = "no_label"
MISSING_IMAGE = "missing_image"
OTHER_SHARD = "other_shard"
REASONS = {
    SYSTEM_FILE: "hidden and system files (.DS_Store, __MACOSX, @eaDir, ...)",
    OTHER_FILE: "files that are no images (tables, texts, ...)",
    SAME_NAME: "images of another format beside one of the same name",
    UNKNOWN_FORMAT: "files of a format that is not read",
    NO_DECODER: "images that need a package (.heic: pip install 'face-factory[formats]')",
    DANGLING_LINK: "links that lead nowhere or outside",
    SPARSE: "sparse members of tars (made by tar -S; pack them without)",
    DEEPER_FOLDER: "images in folders inside a person's folder",
    LOOSE_FILE: "images outside any person's folder",
    EMPTY_FOLDER: "folders without an image",
    NO_LABEL: "images without a label",
    MISSING_IMAGE: "labels, or rows of a table, whose image is missing",
    OTHER_SHARD: "archives or tables beside those that are read, or in folders below them",
}
"""What each reason says to a person."""
HARMLESS = frozenset({SYSTEM_FILE, OTHER_FILE, SAME_NAME})
"""Reasons that never refuse a source, because no face of anybody is missing."""


@dataclass(frozen=True)
class LeftOut:
    """One reason for which parts of a source are not read."""

    reason: str
    """One of REASONS."""
    count: int
    first: tuple[str, ...]
    """The first names, at most EXAMPLES; they may hold names of real people, so no log has them."""

    @property
    def line(self) -> str:
        """Count and reason in words, without any name."""
        return f"{self.count} left out: {REASONS[self.reason]}"


class Tally:
    """Counts what a reader leaves out while it reads."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """Count `count` parts under a name; `reason` is one of REASONS."""
        assert reason in REASONS, reason
        self._counts[reason] = self._counts.get(reason, 0) + count
        names = self._names.setdefault(reason, [])
        if len(names) < EXAMPLES:
            names.append(name)

    def merge(self, left_out: Iterable[LeftOut], folder: str = "") -> None:
        """Count what a part of the source leaves out; its names are put below `folder`."""
        prefix = f"{folder}/" if folder else ""
        for part in left_out:
            first, *others = part.first
            self.add(part.reason, prefix + first, part.count - len(others))
            for name in others:
                self.add(part.reason, prefix + name)

    def all(self) -> tuple[LeftOut, ...]:
        """What was left out, in the order of REASONS."""
        return tuple(
            LeftOut(reason, self._counts[reason], tuple(self._names[reason]))
            for reason in REASONS
            if reason in self._counts
        )


def check_little_left_out(
    left_out: Sequence[LeftOut], num_images: int, max_fraction: float
) -> None:
    """Raise SourceError when more is left out than source.max_left_out_fraction allows.

    The fraction is of all that is there, the `num_images` that are read and what is not.
    """
    counted = [part for part in left_out if part.reason not in HARMLESS]
    count = sum(part.count for part in counted)
    if count > max_fraction * (num_images + count):
        parts = "; ".join(f"{part.count} {REASONS[part.reason]}" for part in counted)
        raise SourceError(
            f"source.max_left_out_fraction: {count} of {num_images + count} are not read "
            f"({parts}); want at most {max_fraction:g} of them; `jobs inspect` names them: repair "
            "the source or raise the limit"
        )
