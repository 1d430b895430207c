"""Write photographs of a tar as one folder a person, with the names and files of everyday disks.

python as_on_disk.py london400.tar people
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG")
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "._001_03.jpg")


def write(tar: Path, out: Path) -> int:
    """Number of photographs `neutral_front/001_03.jpg` that are written as people/001 Zoë/...

    Folders of people have spaces, accents and brackets in their names, files have capital suffixes,
    commas and brackets, and what systems leave behind lies between them.
    """
    count = 0
    with tarfile.open(tar) as archive:
        members = sorted((m for m in archive if m.isfile()), key=lambda member: member.name)
        for member in members:
            look, _, name = member.name.partition("/")
            person = name.partition("_")[0]
            folder = out / f"{person} Zoë ({person})"
            folder.mkdir(parents=True, exist_ok=True)
            data = archive.extractfile(member)
            assert data is not None
            named = f"{name.partition('.')[0]}, {look} (copy){SUFFIXES[count % len(SUFFIXES)]}"
            (folder / named).write_bytes(data.read())
            count += 1
    for name in SYSTEM_FILES:
        (out / name).write_bytes(b"\0")
        next(p for p in sorted(out.iterdir()) if p.is_dir()).joinpath(name).write_bytes(b"\0")
    for hidden in (".thumbnails", "__MACOSX"):
        (out / hidden).mkdir(exist_ok=True)
        (out / hidden / "001.jpg").write_bytes(b"\0")
    return count


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]), Path(sys.argv[2]))} photographs in {sys.argv[2]}")
