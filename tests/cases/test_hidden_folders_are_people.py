"""What Jupyter, Synology, macOS and ext4 leave in folders is nobody, and refuses nothing."""

from __future__ import annotations

import tarfile

LEFT_BEHIND = (
    ".ipynb_checkpoints/00-checkpoint.jpg",
    "@eaDir/THUMB_XL.jpg",
    "__MACOSX/00000/._00.jpg",
    "lost+found/00.jpg",
    "00001/._01.jpg",
    "00001/Thumbs.db",
)


def with_litter(folder):
    picture = (folder / "00000" / "00.jpg").read_bytes()
    for name in LEFT_BEHIND:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture)
    return folder


def test_they_are_skipped_counted_and_said(faces, dry_run, tmp_path):
    code, printed = dry_run(with_litter(faces(tmp_path / "set")))
    assert code == 0
    assert "6 left out: hidden and system files" in printed
    assert "9 images of 3 people, 0 held out" in printed


def test_a_tar_of_such_a_folder_reads_alike(faces, dry_run, tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(with_litter(faces(tmp_path / "set")), ".")
    code, printed = dry_run(tmp_path / "set.tar")
    assert code == 0
    assert "6 left out: hidden and system files" in printed
    assert "9 images of 3 people, 0 held out" in printed


def test_workers_of_a_training_say_it_too(faces, dry_run, tmp_path):
    code, printed = dry_run(with_litter(faces(tmp_path / "set")), "batches.num_workers=1")
    assert code == 0
    assert "6 left out: hidden and system files" in printed
