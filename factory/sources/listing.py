"""Which files of a folder or a tar are images of whom: PERSON/IMAGE, and all else is counted.

A person is the folder that an image lies in. Names are as they are on disk, but bytes that are no
UTF-8 are written \\xHH, and both spellings of one name (Unicode's NFC and NFD) are one person.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args, get_type_hints

from factory.config import SourceConfig
from factory.config.source_rules import WITHOUT_PATH
from factory.errors import SourceError
from factory.sources.decoding import SUFFIXES, missing_package
from factory.sources.entries import IMAGE_SUFFIXES, Entry, stem_of
from factory.sources.left_out import (
    DEEPER_FOLDER,
    EMPTY_FOLDER,
    LOOSE_FILE,
    NO_DECODER,
    OTHER_FILE,
    SAME_NAME,
    SYSTEM_FILE,
    UNKNOWN_FORMAT,
    LeftOut,
    Tally,
)

SYSTEM_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
    }
)
"""What macOS, Windows, Linux, Synology and QNAP leave in folders, in lower case."""
OTHER_SUFFIXES = frozenset(
    ".txt .md .pdf .html .csv .tsv .xls .xlsx .json .jsonl .yaml .yml .toml .xml .ini .log .url "
    ".aae .xmp .lst .cls .npy .npz .pts .mat .bin .pt .pth .onnx .pkl .parquet .db .py .ipynb "
    ".sh".split()
)
"""Of files that lie beside images and hold none."""
OTHER_NAMES = frozenset({"readme", "license", "licence", "notice", "sha256sums", "_success"})
"""Names without a suffix that are no images either, in lower case."""
FIRST_CHOICE = (".jpg", ".jpeg", ".png", ".webp")
"""Of two images of one name that which is read, where one alone has such a suffix."""
KINDS = get_args(get_type_hints(SourceConfig)["kind"])
FORMATS = " ".join(suffixes[0] for suffixes in SUFFIXES.values())
"""What images of each format that is read are called, for messages."""
NO_FILES = ("folder", *WITHOUT_PATH)
"""Kinds that a message about files does not offer: this one, and those that have none."""
WANTED = (
    f"want one folder a person (PERSON/IMAGE, of {FORMATS}) in a folder or a plain tar, or else "
    f"another source.kind: {', '.join(kind for kind in KINDS if kind not in NO_FILES)}"
)


def is_system_part(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system leaves."""
    return part.lower() in SYSTEM_NAMES or (part.startswith(".") and part != "..")


def is_other_file(name: str) -> bool:
    """Whether a file of this name is a table, a text or a list of numbers, but no image."""
    return suffix_of(name) in OTHER_SUFFIXES or name.rpartition("/")[2].lower() in OTHER_NAMES


@dataclass(frozen=True)
class Found:
    """A file by its name in a folder or a tar, and where its bytes are."""

    name: str
    path: Path
    offset: int
    size: int

    @property
    def depth(self) -> int:
        """Folders around it."""
        return self.name.count("/")


@dataclass(frozen=True)
class Listing:
    """The images of a source, the person of each, and what a person should know of the rest."""

    entries: list[Entry]
    people: list[str]
    remarks: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


class Lister:
    """Sorts files into images and what is left out, then images by who is in them."""

    def __init__(self, location: str) -> None:
        self.location, self.tally = location, Tally()
        self.images: list[Found] = []
        self.folders: set[str] = set()
        """Of any depth, without those of the system."""
        self.remarks: list[str] = []
        self.num_doubled = 0
        """Links to a folder of the same source, whose images are read twice."""
        self._system: set[str] = set()

    def is_system(self, name: str) -> bool:
        """Whether a file or a folder around it is hidden or the system's; that is counted once."""
        parts = name.split("/")
        for number, part in enumerate(parts, start=1):
            if is_system_part(part):
                top = "/".join(parts[:number])
                if top not in self._system:
                    self._system.add(top)
                    self.tally.add(SYSTEM_FILE, readable(top))
                return True
        return False

    def add(self, found: Found) -> None:
        """Take a file that is not the system's."""
        suffix = suffix_of(found.name)
        if suffix not in IMAGE_SUFFIXES:
            reason = OTHER_FILE if is_other_file(found.name) else UNKNOWN_FORMAT
            self.tally.add(reason, readable(found.name))
        elif missing_package(suffix):
            self.tally.add(NO_DECODER, readable(found.name))
        else:
            self.images.append(found)

    def num_at(self, depth: int) -> int:
        """Images with so many folders around them."""
        return sum(found.depth == depth for found in self.images)

    def unwrap(self, folder: str) -> None:
        """Read from a folder as if nothing else were there."""
        start = len(folder) + 1
        self.images = [replace(found, name=found.name[start:]) for found in self.images]
        self.folders = {name[start:] for name in self.folders if len(name) > start}
        self.remarks.append("a folder lies around those of the people; it is read from within")

    def listing(self, depth: int) -> Listing:
        """The images with `depth` folders around them; raises SourceError where there are none."""
        chosen = [found for found in self.images if found.depth == depth]
        self._count_empty(depth, {_folder_of(found.name) for found in chosen})
        if not chosen:
            self._refuse()
        for found in self.images:
            if found.depth != depth:
                reason = LOOSE_FILE if found.depth < depth else DEEPER_FOLDER
                self.tally.add(reason, readable(found.name))
        entries = self._without_doubles([_entry(found) for found in chosen])
        spelled = {_folder_of(found.name) for found in chosen} | {f.name for f in chosen}
        self._remark_unreadable(spelled)
        if self.num_doubled:
            self.remarks.append(
                f"{self.num_doubled} links lead to folders of the same source, so the images there "
                "are of two people; remove such links unless they are meant"
            )
        people = self._people([_folder_of(entry.name) for entry in entries])
        return Listing(entries, people, tuple(self.remarks), self.tally.all())

    def _refuse(self) -> None:
        loose, deeper = self.num_at(0), len(self.images) - self.num_at(0)
        rest = "; ".join(part.line for part in self.tally.all())
        found = f"no images in {self.location}{f' ({rest})' if rest else ''}"
        if loose or deeper:
            where = "outside any folder" if loose else "in folders inside folders"
            count = f"all {loose + deeper} images of {self.location}"
            found = f"{count} lie {where}, so no folder is a person"
        raise SourceError(f"source.path: {found}; {WANTED}")

    def _count_empty(self, depth: int, used: set[str]) -> None:
        for name in sorted(self.folders - used):
            if name.count("/") == depth - 1:
                self.tally.add(EMPTY_FOLDER, readable(name))

    def _without_doubles(self, entries: list[Entry]) -> list[Entry]:
        """Without what lies in another format beside an image that is called the same."""
        count = Counter(entry.key for entry in entries)
        if len(count) == len(entries):
            return entries
        first = Counter(e.key for e in entries if suffix_of(e.name) in FIRST_CHOICE)
        kept = []
        for entry in entries:
            one_is_first = count[entry.key] > 1 and first[entry.key] == 1
            if one_is_first and suffix_of(entry.name) not in FIRST_CHOICE:
                self.tally.add(SAME_NAME, entry.name)
            else:
                kept.append(entry)
        return kept

    def _remark_unreadable(self, names: set[str]) -> None:
        count = sum(readable(name) != name for name in names)
        if count:
            self.remarks.append(f"{count} names are no UTF-8: such bytes are \\xHH in their keys")

    def _people(self, folders: list[str]) -> list[str]:
        """The person of each folder: its name, or the NFC spelling of names that differ in form."""
        spellings, cases = defaultdict(set), defaultdict(set)
        for name in set(folders):
            spellings[unicodedata.normalize("NFC", name)].add(name)
        several = sum(len(names) > 1 for names in spellings.values())
        if several:
            self.remarks.append(
                f"{several} people have folders in two Unicode spellings of one name (NFC and "
                "NFD), which are read as one"
            )
        for name in spellings:
            cases[name.casefold()].add(name)
        alike = sum(len(names) for names in cases.values() if len(names) > 1)
        if alike:
            self.remarks.append(
                f"{alike} people have names that differ in case only; each is a person"
            )
        one = {n: norm for norm, names in spellings.items() if len(names) > 1 for n in names}
        return [one.get(name, name) for name in folders]


def readable(name: str) -> str:
    """A name of a file as text: bytes that are no UTF-8 become \\xHH."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def suffix_of(name: str) -> str:
    """What is behind the last dot of a file's name, in lower case, with the dot; '' without."""
    _, dot, end = name.rpartition("/")[2].rpartition(".")
    return dot + end.lower() if dot else ""


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _entry(found: Found) -> Entry:
    name = readable(found.name)
    return Entry(found.path, found.offset, found.size, name, stem_of(name))
