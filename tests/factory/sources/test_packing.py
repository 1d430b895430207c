"""The tar of a package: whole people, the source's own bytes, the same file each time."""

from __future__ import annotations

import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources import open_source
from factory.sources.packing import pack_people

PEOPLE, IMAGES, PX = 4, 3, 32


@pytest.fixture
def folder(tmp_path):
    """A source of noise, whose JPEGs take about as many bytes each."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        (tmp_path / "people" / name).mkdir(parents=True)
        for number in range(IMAGES):
            noise = rng.integers(0, 256, (PX, PX, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / f"people/{name}/{number}.jpg")
    return tmp_path / "people"


def source_of(folder):
    return open_source(SourceConfig(kind="folder", path=str(folder), image_px=PX))


def test_a_pack_holds_the_bytes_of_whole_people_up_to_its_limit(folder, tmp_path):
    whole = tmp_path / "whole.tar"
    assert pack_people(source_of(folder), whole) == (PEOPLE, PEOPLE * IMAGES)
    size = whole.stat().st_size
    for people, limit in ((PEOPLE, size), (PEOPLE - 1, size - tarfile.RECORDSIZE)):
        path = tmp_path / f"{limit}.tar"
        assert pack_people(source_of(folder), path, limit) == (people, people * IMAGES)
        assert path.stat().st_size <= limit
        with tarfile.open(path) as tar:
            held = {member.name: tar.extractfile(member).read() for member in tar}
        assert list(held) == [
            f"{person:05d}/{number:02d}.jpg" for person in range(people) for number in range(IMAGES)
        ]
        for row, data in enumerate(held.values()):
            image = np.asarray(Image.open(BytesIO(data)), np.float64)
            wanted = source_of(folder)[row].image_HWC.astype(np.float64)
            errors = [np.abs(image - other).mean() for other in (wanted, wanted[::-1])]
            assert errors[0] < errors[1], "the pixels of its row"


def test_the_same_source_gives_the_same_tar_which_is_a_source_again(folder, tmp_path):
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    for path in (first, second):
        pack_people(source_of(folder), path)
    assert first.read_bytes() == second.read_bytes()
    again = open_source(SourceConfig(kind="folder", path=str(first), image_px=PX))
    assert again.labels.tolist() == source_of(folder).labels.tolist()


def test_a_mark_stays_and_the_jpeg_is_that_of_the_stated_quality(folder, tmp_path):
    with Image.open(folder / "a/0.jpg") as image:
        image.save(folder / "a/0.jpg", xmp=b"<made/>", quality=95)
    pack_people(source_of(folder), tmp_path / "pack.tar")
    with tarfile.open(tmp_path / "pack.tar") as tar:
        marked, plain = (Image.open(tar.extractfile(f"00000/0{n}.jpg")) for n in (0, 1))
        assert (marked.info["xmp"], plain.info.get("xmp", b"")) == (b"<made/>", b"")
        saved = BytesIO()
        Image.new("RGB", (8, 8)).save(saved, "JPEG", quality=90)
        assert marked.quantization == Image.open(saved).quantization


def test_a_person_that_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(SourceError, match="its first person exceed 2000 bytes"):
        pack_people(source_of(folder), tmp_path / "pack.tar", 2000)
    assert not (tmp_path / "pack.tar").exists()
