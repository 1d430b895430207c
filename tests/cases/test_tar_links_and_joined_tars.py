"""Hard links, symbolic links and what stands behind a joint in a tar were left out unsaid."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path


def tarred(folder: Path, *names: str, name: str) -> Path:
    with tarfile.open(folder.parent / name, "w") as tar:
        for item in names:
            tar.add(folder / item, item)
    return folder.parent / name


def test_links_inside_an_archive_are_followed(faces, dry_run, tmp_path):
    root = faces(tmp_path / "set")
    for image in ("00.jpg", "01.jpg"):
        (root / "00002" / image).unlink()
        os.link(root / "00000" / image, root / "00002" / image)
    (root / "00001" / "09.jpg").symlink_to("../00000/02.jpg")
    path = tarred(root, "00000", "00001", "00002", name="links.tar")
    code, printed = dry_run(path)
    assert code == 0
    assert "10 images of 3 people" in printed
    assert "left out" not in printed


def test_a_link_out_of_an_archive_is_not_followed(faces, dry_run, tmp_path):
    root = faces(tmp_path / "set", people=4, images=6)
    (tmp_path / "outside.jpg").write_bytes((root / "00000" / "00.jpg").read_bytes())
    (root / "00001" / "09.jpg").symlink_to("../../outside.jpg")
    people = ("00000", "00001", "00002", "00003")
    code, printed = dry_run(tarred(root, *people, name="out.tar"))
    assert code == 0
    assert "24 images of 4 people" in printed
    assert "1 left out: links that lead nowhere or outside" in printed


def test_joined_archives_are_read_and_said(faces, dry_run, tmp_path):
    root = faces(tmp_path / "set")
    first = tarred(root, "00000", "00001", name="a.tar")
    second = tarred(root, "00002", name="b.tar")
    (tmp_path / "joined.tar").write_bytes(first.read_bytes() + second.read_bytes())
    code, printed = dry_run(tmp_path / "joined.tar")
    assert code == 0
    assert "9 images of 3 people" in printed
    assert "2 archives are joined in one tar" in printed


def test_a_packed_tar_names_the_remedy(faces, dry_run, tmp_path):
    root = faces(tmp_path / "set")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        tar.add(root, ".")
    code, printed = dry_run(tmp_path / "set.tar.gz")
    assert code == 1
    assert "gzip -dk set.tar.gz" in printed
