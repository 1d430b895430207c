"""Dangling links, formats of telephones, deeper folders, loose files: read, or counted and said."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest


@pytest.fixture
def everyday(faces, tmp_path) -> Path:
    """Three people x three images, and eight files and links beside them."""
    root = faces(tmp_path / "set")
    jpeg = (root / "00000" / "00.jpg").read_bytes()
    (root / "00000" / "8.jpg").symlink_to("/nowhere/1.jpg")
    (root / "00009").symlink_to("/nowhere/p")
    (root / "00001" / "later").mkdir()
    names = ("00000/IMG_1.HEIC", "00000/IMG_2.bmp", "00000/IMG_3.jfif", "00001/later/00.jpg")
    for name in (*names, "loose.jpg", "00002/clip.mov"):
        (root / name).write_bytes(jpeg)
    return root


def test_what_is_missing_refuses_the_set_and_is_named_by_kind(everyday, dry_run):
    pytest.importorskip("pillow_heif", reason="needs the extra 'formats'")
    code, printed = dry_run(everyday)
    assert code == 1
    line = printed.strip().splitlines()[-1]
    assert "source.max_left_out_fraction: 5 of 17 are not read" in line
    for part in ("2 links that lead nowhere", "1 files of a format", "1 images in folders inside"):
        assert part in line


def test_a_higher_limit_reads_the_rest_and_says_what_is_missing(everyday, dry_run):
    pytest.importorskip("pillow_heif", reason="needs the extra 'formats'")
    code, printed = dry_run(everyday, "source.max_left_out_fraction=0.5")
    assert code == 0
    assert "12 images of 3 people" in printed  # by content: the .HEIC and the .bmp are JPEG
    assert "2 left out: links that lead nowhere or outside" in printed
    assert "1 left out: images outside any person's folder" in printed


def test_a_release_says_it_too(everyday, run_job, tmp_path):
    source = ("source.kind=folder", f"source.path={everyday}", "source.license=CC0-1.0")
    here = (f"store.url={tmp_path}", "fleet.runner=inline", f"audit.embeddings_dir={tmp_path}/v")
    wanted = ("source.max_left_out_fraction=0.5", "source.real_people=false")
    code, printed = run_job("release", "configs/demo.yaml", *source, *wanted, *here, "--dry-run")
    assert code == 0, printed
    assert "2 left out: links that lead nowhere or outside" in printed


def test_one_empty_folder_stops_nothing(faces, dry_run, tmp_path):
    root = faces(tmp_path / "set", people=5, images=5)
    (root / "00009").mkdir()
    code, printed = dry_run(root)
    assert code == 0
    assert "1 left out: folders without an image" in printed
    assert "25 images of 5 people" in printed


def test_a_folder_around_all_people_as_unzip_makes_it(faces, dry_run, tmp_path):
    faces(tmp_path / "unzipped" / "set")
    code, printed = dry_run(tmp_path / "unzipped")
    assert code == 0
    assert "a folder lies around those of the people" in printed
    assert "9 images of 3 people" in printed


def test_names_of_everywhere_are_read(faces, dry_run, tmp_path):
    """Bytes that are no UTF-8, both Unicode forms of one name, CVLface's number__name."""
    root = faces(tmp_path / "set", people=4, images=2)
    os.rename(root / "00000", os.fsencode(root) + b"/Jos\xe9")
    (root / "00001").rename(root / unicodedata.normalize("NFC", "Zoë"))
    (root / "00002").rename(root / unicodedata.normalize("NFD", "Zoë"))
    (root / "00003").rename(root / "0001__Ann_Lee")
    code, printed = dry_run(root)
    assert code == 0
    assert "8 images of 3 people" in printed
    assert "3 names are no UTF-8" in printed  # a folder and two files in it
    assert "1 people have folders in two Unicode spellings of one name" in printed
    assert not any(name in printed for name in ("Jos", "Zo", "Ann"))
