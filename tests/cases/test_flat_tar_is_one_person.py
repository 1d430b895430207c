"""Images at the root of a folder or a tar are nobody's: the layouts that work are named."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest


@pytest.fixture
def flat(faces, tmp_path) -> Path:
    root = faces(tmp_path / "set", images=2)
    for file in sorted(root.glob("*/*.jpg")):
        file.rename(root / f"{file.parent.name}_{file.name}")
    for folder in [item for item in root.iterdir() if item.is_dir()]:
        folder.rmdir()
    return root


def test_a_flat_folder_is_refused(flat, dry_run):
    code, printed = dry_run(flat)
    assert code == 1
    assert "all 6 images" in printed
    assert "want one folder a person (PERSON/IMAGE, of " in printed


def test_a_flat_tar_is_refused_in_the_same_words(flat, dry_run):
    path = flat.parent / "flat.tar"
    with tarfile.open(path, "w") as tar:
        for file in sorted(flat.iterdir()):
            tar.add(file, file.name)
    of_folder, of_tar = dry_run(flat), dry_run(path)
    assert of_tar == (1, of_folder[1].replace(str(flat), str(path)))
    assert "another source.kind: webdataset, " in of_tar[1]
