"""Records with several labels each, as `im2rec --pack-label` writes them, and insightface's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.sources import open_source
from factory.sources.recordio import write_records
from tests.cases.conftest import DryRun, Faces
from tests.factory.sources.test_record_source import write

Labels = Callable[[int, int, int], list[float]]
KINDS: dict[str, Labels] = {
    "gender": lambda k, i, j: [float(i), float((k + 1) % 2)],
    "view": lambda k, i, j: [float(i), float(2 - j)],
    "three": lambda k, i, j: [float(i), float(j), 30.0],
    "age": lambda k, i, j: [float(i), float(20 + k)],
}
"""Labels of record k, which shows person i for the jth time."""
SIX = [(k, k // 2, k % 2) for k in range(6)]


@pytest.fixture
def images(tmp_path, faces: Faces) -> list[bytes]:
    """Two of each of three people."""
    files = sorted(faces(tmp_path / "faces", 3, 2).glob("*/*.jpg"))
    return [file.read_bytes() for file in files]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_label_is_who_is_in_the_image(
    tmp_path: Path, images: list[bytes], dry_run: DryRun, kind: str
) -> None:
    path = write(tmp_path / "train.rec", [(KINDS[kind](*of), images[of[0]]) for of in SIX])
    source = open_source(SourceConfig(kind="recordio", path=str(path)))
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [bytes(source.encoded(k)) for k in range(6)] == images
    code, printed = dry_run(path, "source.kind=recordio")
    assert code == 0
    assert "labels; column source.label_column says who is who" in printed
    assert "6 images of 3 people" in printed


def test_another_label_is_chosen_by_config(
    tmp_path: Path, images: list[bytes], dry_run: DryRun
) -> None:
    path = write(tmp_path / "train.rec", [(KINDS["age"](*of)[::-1], images[of[0]]) for of in SIX])
    words = ("source.kind=recordio", "source.label_column")
    assert "6 images of 6 people" in dry_run(path, words[0])[1]
    assert "6 images of 3 people" in dry_run(path, words[0], f"{words[1]}=1")[1]
    code, printed = dry_run(path, words[0], f"{words[1]}=2")
    assert code != 0
    assert "source.label_column: got 2" in printed
    assert "want a column from 0 to 1" in printed


def test_records_whose_image_is_missing_are_counted(
    tmp_path: Path, images: list[bytes], dry_run: DryRun
) -> None:
    records = [(KINDS["view"](*of), images[of[0]] if of[0] else b"") for of in SIX]
    path = write(tmp_path / "train.rec", records, first_key=1)
    code, printed = dry_run(path, "source.kind=recordio")
    assert code != 0
    assert "1 of 6 are not read (1 labels, or rows of a table, whose image is missing)" in printed
    words = ("source.kind=recordio", "source.max_left_out_fraction=0.2")
    assert "5 images of 3 people" in dry_run(path, *words)[1]


def test_an_insightface_folder_is_read_with_its_table_and_property(
    tmp_path: Path, images: list[bytes], dry_run: DryRun
) -> None:
    write_records(tmp_path / "train.rec", np.array([0, 0, 1, 1, 2, 2]), images)
    (tmp_path / "property").write_text("3,112,112\n")
    code, printed = dry_run(tmp_path, "source.kind=recordio")
    assert code == 0
    assert "6 images of 3 people" in printed
    assert "3 classes of 112x112 pixels, as the records hold" in printed
