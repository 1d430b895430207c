"""Lists the images of a plain tar, which is never unpacked: no member can land outside its folder.

Links are followed inside the archive alone, and archives that are joined (cat a.tar b.tar) are read
one after the other. See GNU tar's manual, "Basic Tar Format", for the zero blocks between them.
"""

from __future__ import annotations

import tarfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from factory.errors import SourceError
from factory.sources.left_out import DANGLING_LINK, SPARSE, UNKNOWN_FORMAT
from factory.sources.listing import Found, Lister, Listing, readable

MAX_HOPS = 40
"""Links that a path may lead through, as on Linux."""
CHUNK = 1 << 20
PACKED = {
    b"\x1f\x8b": ("gzip", "gzip -dk"),
    b"BZh": ("bzip2", "bzip2 -dk"),
    b"\xfd7zXZ\0": ("xz", "xz -dk"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dk"),
    b"PK\x03\x04": ("zip", "unzip"),
}
"""What begins a packed archive, its name, and the command that makes a plain one of it."""

Links = dict[str, list[str] | None]
"""Where each link leads, as parts of a path from the top; None: outside the archive."""


def list_tar(path: Path, location: str = "") -> Listing:
    """The images of a tar, in the order of their names; a person is the folder of an image.

    Images of most people decide how many folders are around a person's. Raises SourceError for a
    packed or damaged tar, and where there are no images in folders.
    """
    lister = Lister(location or str(path))
    files, links = _sorted_out(path, lister)
    _follow(path, lister, files, links)
    lister.images.sort(key=lambda found: found.name)
    depths = Counter(found.depth for found in lister.images if found.depth)
    depth = min(depths, key=lambda depth: (-depths[depth], depth), default=1)
    return lister.listing(depth)


def members(path: Path) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """All members of a tar, each with the number of its archive among those that are joined.

    Raises SourceError for what is no plain tar, or a damaged one.
    """
    with path.open("rb") as handle:
        _refuse_packed(path, handle.read(8))
        number, start = 0, 0
        while start >= 0:
            handle.seek(start)
            try:
                with tarfile.open(fileobj=handle, mode="r:") as tar:
                    for member in tar:
                        yield number, member
                    end = tar.offset
            except tarfile.TarError as error:
                raise SourceError(
                    f"source.path: {path} is not a readable plain tar ({error}, at byte {start})"
                ) from None
            if start and end == start:
                raise SourceError(
                    f"source.path: {path} goes on at byte {start}, behind its end, with what is no "
                    "tar; cut that off or make the tar anew"
                )
            number, start = number + 1, _next_archive(path, handle, end)


def _refuse_packed(path: Path, head: bytes) -> None:
    for magic, (name, command) in PACKED.items():
        if head.startswith(magic):
            raise SourceError(
                f"source.path: {path} is packed by {name}, and images are read at random; unpack "
                f"it first: {command} {path.name}"
            )


def _next_archive(path: Path, handle: IO[bytes], end: int) -> int:
    """Where another archive begins behind the end of one; -1 where nothing follows."""
    handle.seek(end)
    # because tarfile takes damage after a member for the end
    if handle.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise SourceError(f"source.path: {path} is cut off or damaged at byte {end}")
    place = end + tarfile.BLOCKSIZE
    while block := handle.read(CHUNK):
        zeros = len(block) - len(block.lstrip(b"\0"))
        if zeros < len(block):
            return place + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        place += len(block)
    return -1


def _sorted_out(path: Path, lister: Lister) -> tuple[dict[str, Found], Links]:
    """Files by name, those of the system too, and links; the lister takes what is no link."""
    files: dict[str, Found] = {}
    links: Links = {}
    last = 0
    for number, member in members(path):
        last = number
        name = plain(member.name)
        if member.issparse():  # whose bytes do not lie in one piece
            if not lister.is_system(name):
                lister.tally.add(SPARSE, readable(name))
        elif member.isreg():
            files[name] = Found(name, path, member.offset_data, member.size)
        elif member.issym():
            inside = not member.linkname.startswith("/")
            links[name] = [*name.split("/")[:-1], *member.linkname.split("/")] if inside else None
        elif member.islnk():
            links[name] = plain(member.linkname).split("/")
        if not name or lister.is_system(name) or name in links or member.issparse():
            continue
        if member.isreg():
            lister.add(files[name])
        elif member.isdir():
            lister.folders.add(name)
        else:
            lister.tally.add(UNKNOWN_FORMAT, readable(name))
    if last:
        lister.remarks.append(f"{last + 1} archives are joined in one tar; all are read")
    return files, links


def _follow(path: Path, lister: Lister, files: dict[str, Found], links: Links) -> None:
    """Give the lister every file that a link leads to, under the link's name."""
    names = sorted([*files, *links])
    for link in links:
        if lister.is_system(link):
            continue
        target = resolved(link, links)
        if target in files:
            lister.add(Found(link, path, files[target].offset, files[target].size))
            continue
        inside = _below(names, target) if target and not f"{link}/".startswith(f"{target}/") else []
        lister.num_doubled += bool(inside) and not lister.is_system(str(target))
        if not inside:
            lister.tally.add(DANGLING_LINK, readable(link))
        for name in inside:
            file = files.get(resolved(name, links) or "")
            shown = link + name[len(str(target)) :]
            if lister.is_system(shown):
                continue
            if file is None:
                lister.tally.add(DANGLING_LINK, readable(shown))
            else:
                lister.add(Found(shown, path, file.offset, file.size))


def _below(names: list[str], folder: str) -> list[str]:
    """The names in a folder, of a sorted list."""
    behind = f"{folder}{chr(ord('/') + 1)}"
    return names[bisect_left(names, f"{folder}/") : bisect_left(names, behind)]


def resolved(name: str, links: Links) -> str | None:
    """Where a path of an archive leads; None for outside of it and for links in a circle."""
    done: list[str] = []
    waiting, hops = name.split("/")[::-1], 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                return None
            done.pop()
            continue
        done.append(part)
        here = "/".join(done)
        if here not in links:
            continue
        target, hops = links[here], hops + 1
        if target is None or hops > MAX_HOPS:
            return None
        done, waiting = [], waiting + target[::-1]
    return "/".join(done)


def plain(name: str) -> str:
    """A member's name without './', as in `tar cf x.tar .`."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
