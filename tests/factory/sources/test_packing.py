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
        assert held == {
            f"{person:05d}/{number:02d}.jpg": (folder / f"{name}/{number}.jpg").read_bytes()
            for person, name in enumerate("abcd"[:people])
            for number in range(IMAGES)
        }


def test_the_same_source_gives_the_same_tar_which_is_a_source_again(folder, tmp_path):
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    for path in (first, second):
        pack_people(source_of(folder), path)
    assert first.read_bytes() == second.read_bytes()
    again = open_source(SourceConfig(kind="folder", path=str(first), image_px=PX))
    assert again.labels.tolist() == source_of(folder).labels.tolist()


def test_a_person_that_does_not_fit_and_an_image_of_another_kind_are_refused(folder, tmp_path):
    with pytest.raises(SourceError, match="its first person exceed 5000 bytes"):
        pack_people(source_of(folder), tmp_path / "pack.tar", 5000)
    encoded = BytesIO()
    Image.new("RGB", (PX, PX)).save(encoded, "png")
    (folder / "a/0.jpg").write_bytes(encoded.getvalue())
    with pytest.raises(SourceError, match="is no JPEG; want a release of JPEGs"):
        pack_people(source_of(folder), tmp_path / "pack.tar")
    assert not (tmp_path / "pack.tar").exists()
