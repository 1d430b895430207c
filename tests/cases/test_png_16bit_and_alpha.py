"""A grey image of 16 bits became a white square, and hidden colors of a cut-out showed through."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.sources import open_source, read_faces
from factory.sources.recordio import write_records

INSIDE = np.fromfunction(lambda y, x: ((x - 56) / 40) ** 2 + ((y - 60) / 50) ** 2 < 1, (112, 112))


@pytest.fixture
def face(starter_images) -> Image.Image:
    return Image.open(io.BytesIO(starter_images["00000/00.jpg"])).convert("RGB")


def read(tmp_path, image: Image.Image, **fields) -> np.ndarray:
    """The pixels of an image that is saved as somebody's PNG."""
    (tmp_path / "set" / "somebody").mkdir(parents=True, exist_ok=True)
    image.save(tmp_path / "set" / "somebody" / "a.png")
    config = SourceConfig(kind="folder", path=str(tmp_path / "set"), **fields)
    return read_faces(open_source(config), 0.0).images_NHWC[0]


def test_grey_of_16_bits_is_the_face_and_not_white(face, tmp_path):
    grey = np.asarray(face.convert("L"))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(read(tmp_path, wide), np.dstack([grey] * 3))


@pytest.mark.parametrize("color", ["RGB", "L"])
def test_a_cut_out_lies_on_the_stated_background(face, tmp_path, color):
    pixels = np.array(face.convert(color))
    pixels[~INSIDE] = 255 if color == "L" else (0, 255, 0)
    cut = np.dstack([pixels, np.where(INSIDE, 255, 0).astype(np.uint8)])
    for background in (128, 255):
        image = read(tmp_path, Image.fromarray(cut), background=background)
        assert (image[~INSIDE] == background).all()
        assert np.array_equal(image[INSIDE], np.asarray(face.convert(color).convert("RGB"))[INSIDE])
    assert SourceConfig().background == 128


@pytest.mark.parametrize("kind", ["recordio", "webdataset"])
def test_other_kinds_of_sources_have_the_same_background(tmp_path, kind):
    buffer = io.BytesIO()
    Image.new("RGBA", (112, 112), (0, 255, 0, 0)).save(buffer, "PNG")
    path = tmp_path / ("train.rec" if kind == "recordio" else "shard.tar")
    if kind == "recordio":
        write_records(path, np.zeros(1), [buffer.getvalue()])
    else:
        with tarfile.open(path, "w") as tar:
            for name, data in (("a.png", buffer.getvalue()), ("a.cls", b"0")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    source = open_source(SourceConfig(kind=kind, path=str(path), background=200))
    assert (source[0].image_HWC == 200).all()


def test_plain_rgb_is_as_it_was(face, tmp_path):
    assert np.array_equal(read(tmp_path, face), np.asarray(face))


def test_every_everyday_format_is_a_face(face, tmp_path, dry_run):
    pytest.importorskip("pillow_heif", reason="needs the extra 'formats'").register_heif_opener()
    (tmp_path / "somebody").mkdir()
    suffixes = "jpg jpeg jpe jfif png webp pgm ppm bmp tif tiff avif heic".split()
    for suffix in suffixes:
        image = face.convert("L") if suffix == "pgm" else face
        form = {"jpe": "JPEG", "jfif": "JPEG", "heic": "HEIF"}.get(suffix)
        image.save(tmp_path / "somebody" / f"{suffix}.{suffix}", form)
    code, printed = dry_run(tmp_path)
    assert (code, "left out" in printed) == (0, False), printed
    assert f"{len(suffixes)} images of 1 people" in printed
