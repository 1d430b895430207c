"""Lists a folder of images, one folder a person; links are followed, circles of them are not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from factory.errors import SourceError
from factory.sources.left_out import DANGLING_LINK, DEEPER_FOLDER, UNKNOWN_FORMAT
from factory.sources.listing import Found, Lister, Listing, is_system_part, readable

LINKED_DEPTH = 1
"""Folders around a link to a folder that is followed: a person's, or one in a folder around all."""

Place = tuple[int, int]
"""Device and inode of a folder."""


def list_folder(root: Path) -> Listing:
    """The images PERSON/IMAGE of a folder, or of the one folder in it that holds such folders.

    In the order of people and their files. Raises SourceError where there are none.
    """
    lister = Lister(str(root))
    status = root.stat()
    _walk(lister, root, "", frozenset({(status.st_dev, status.st_ino)}))
    tops = [name for name in lister.folders if "/" not in name]
    if len(tops) == 1 and not lister.num_at(0) and lister.num_at(2) > lister.num_at(1):
        lister.unwrap(tops[0])
    lister.images.sort(key=lambda found: found.name.split("/"))
    return lister.listing(1)


def _walk(lister: Lister, folder: Path, below: str, around: frozenset[Place]) -> None:
    for item in _items(folder, lister.location):
        name = below + item.name
        if lister.is_system(name):
            continue
        try:
            status = item.stat()
        except OSError:  # a link to nowhere, or in a circle
            lister.tally.add(DANGLING_LINK, readable(name))
            continue
        if stat.S_ISREG(status.st_mode):
            lister.add(Found(name, folder / item.name, 0, status.st_size))
        elif not stat.S_ISDIR(status.st_mode):
            lister.tally.add(UNKNOWN_FORMAT, readable(name))
        elif (place := (status.st_dev, status.st_ino)) in around:
            lister.tally.add(DANGLING_LINK, readable(name))
        elif item.is_symlink() and name.count("/") > LINKED_DEPTH:
            lister.tally.add(DEEPER_FOLDER, readable(name))
        else:
            lister.folders.add(name)
            lister.num_doubled += item.is_symlink() and _leads_inside(lister, folder / item.name)
            _walk(lister, folder / item.name, f"{name}/", around | {place})


def _leads_inside(lister: Lister, link: Path) -> bool:
    """Whether a link leads to a folder that is read from the same source, too."""
    root, target = Path(lister.location).resolve(), link.resolve()
    parts = target.relative_to(root).parts if target.is_relative_to(root) else ()
    return bool(parts) and not any(map(is_system_part, parts))


def _items(folder: Path, location: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return sorted(items, key=lambda item: item.name)
    except OSError as error:
        raise SourceError(
            f"source.path: a folder below {location} cannot be listed ({error.strerror}); make it "
            "readable"
        ) from None
