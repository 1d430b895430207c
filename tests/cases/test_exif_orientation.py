"""A telephone stores a photograph lying down and says so in EXIF; viewers show it upright."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from factory.config import SourceConfig
from factory.recognition.pairs import read_bin
from factory.sources import open_source
from factory.sources.recordio import write_records


@pytest.fixture
def lying(starter_images, tmp_path) -> Path:
    """One face in a folder a person, in each of EXIF's eight orientations."""
    image = Image.open(io.BytesIO(starter_images["00000/00.jpg"])).convert("RGB")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (tmp_path / f"set/exif{orientation}").mkdir(parents=True)
        image.save(tmp_path / f"set/exif{orientation}/a.jpg", quality=95, exif=exif)
    return tmp_path / "set"


def shown(file: Path) -> np.ndarray:
    """What viewers show."""
    return np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))


def check(kind: str, path: Path, lying: Path) -> None:
    source = open_source(SourceConfig(kind=kind, path=str(path)))
    for index, file in enumerate(sorted(lying.rglob("*.jpg"))):
        assert np.array_equal(source[index].image_HWC, shown(file)), file.parent.name
    assert len(source) == 8


def test_photographs_in_a_folder_are_upright(lying):
    check("folder", lying, lying)
    upright = shown(lying / "exif1" / "a.jpg")
    assert not np.array_equal(upright, shown(lying / "exif6" / "a.jpg"))  # the case is one


def test_photographs_in_a_tar_are_upright(lying, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(lying, ".")
    check("folder", tmp_path / "a.tar", lying)


def test_photographs_in_webdataset_shards_are_upright(lying, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for label, file in enumerate(sorted(lying.rglob("*.jpg"))):
            for suffix, data in ((".jpg", file.read_bytes()), (".cls", str(label).encode())):
                member = tarfile.TarInfo(f"{label}{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    check("webdataset", tmp_path / "shard.tar", lying)


def test_photographs_in_recordio_are_upright(lying, tmp_path):
    files = [file.read_bytes() for file in sorted(lying.rglob("*.jpg"))]
    write_records(tmp_path / "train.rec", np.arange(8), files)
    check("recordio", tmp_path / "train.rec", lying)


def test_photographs_in_pairs_are_upright(lying, tmp_path):
    files = sorted(lying.rglob("*.jpg"))
    content = ([file.read_bytes() for file in files], [True] * 4)
    (tmp_path / "pairs.bin").write_bytes(pickle.dumps(content))
    pairs = read_bin(tmp_path / "pairs.bin", 112)
    for image, file in zip(pairs.images_NHWC, files, strict=True):
        assert np.array_equal(image, shown(file))
