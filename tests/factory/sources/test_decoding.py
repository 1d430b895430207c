"""Images of every kind become the same RGB pixels; what cannot be told is refused."""

from __future__ import annotations

import builtins
import io
import struct
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from factory.config import SourceConfig
from factory.shards.marks import Mark
from factory.sources import CorruptImageError, decoding
from factory.sources.decoding import BACKGROUND, SUFFIXES, decode_image
from tests.conftest import draw_face

LOSSLESS = ("PNG", "WEBP", "PPM", "BMP", "TIFF", "AVIF", "HEIF")
MAX = 1 << 20


def picture() -> Image.Image:
    """Each quarter has its own color, so that no turn and no mirror image is the same."""
    quarters = [[(230, 30, 30), (30, 230, 30)], [(30, 30, 230), (230, 230, 30)]]
    return Image.fromarray(np.kron(np.array(quarters, np.uint8), np.ones((16, 24, 1), np.uint8)))


def encoded(image: Image.Image, form: str, **how) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def decoded(image: Image.Image, form: str = "PNG", **how) -> np.ndarray:
    return decode_image(encoded(image, form, **how), "key", MAX)


@pytest.fixture
def heif():
    pytest.importorskip("pillow_heif", reason="needs the extra 'formats'").register_heif_opener()


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.usefixtures("heif")
def test_every_format_gives_the_same_pixels(form):
    if form == "HEIF":
        how = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    else:
        how = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(
            form, {}
        )
    pixels = decoded(picture(), form, **how)
    far = np.abs(pixels.astype(int) - np.asarray(picture())).max()
    assert far <= (3 if form == "AVIF" else 0)  # because AVIF converts colors


def test_pixels_of_a_jpeg_are_as_pillow_decodes_them():
    data = encoded(Image.fromarray(draw_face(1, 1)), "JPEG", quality=80)
    assert np.array_equal(decode_image(data, "a", MAX), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_image_is_upright_as_its_exif_says(form, orientation):
    """Against Pillow's own exif_transpose, on another path than the decoder's."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    data = encoded(picture(), form, exif=exif, **how)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    pixels = decode_image(data, "a", MAX)
    assert np.array_equal(pixels, shown)
    assert pixels.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


@pytest.mark.usefixtures("heif")
def test_heic_is_turned_once_by_its_own_property():
    """libheif turns it; EXIF, which often says the same once more, does not (ISO/IEC 23008-12)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(picture(), "HEIF", exif=exif).shape == (32, 48, 3)


def test_an_avif_that_is_called_an_image_file_of_any_kind_is_one():
    data = encoded(picture(), "AVIF")
    renamed = data[:8] + b"mif1" + data[12:]
    assert np.array_equal(decode_image(renamed, "a", MAX), decode_image(data, "a", MAX))


def test_no_text_in_xmp_turns_an_image():
    """A prompt in a mark may hold anything."""
    xmp = Mark(prompt='<x tiff:Orientation="6"/>').packet().encode()
    assert b"tiff:Orientation" in xmp
    assert decoded(picture(), "JPEG", xmp=xmp).shape == (32, 48, 3)
    raw = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    assert decoded(picture(), "JPEG", xmp=raw).shape == (32, 48, 3)
    exif = Image.Exif()
    exif[0x010F] = "a camera that says nothing else"
    assert decoded(picture(), "JPEG", xmp=raw, exif=exif).shape == (32, 48, 3)


def test_exif_as_imagemagick_keeps_it_in_a_png_counts():
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(body):8d}\n{body.hex()}\n")
    assert decoded(picture(), "PNG", pnginfo=text).shape == (48, 32, 3)


def test_damaged_exif_turns_nothing():
    assert decoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff").shape == (32, 48, 3)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight_by_their_range(form):
    levels = np.array([[0, 128, 129, 257, 32768, 65407, 65535]], np.uint16)
    grey = decoded(Image.fromarray(levels), form)[0, :, 0]
    assert grey.tolist() == [0, 0, 1, 1, 128, 255, 255]  # rint(level / 257)


def test_a_pgm_of_ten_bits_has_its_own_range():
    data = b"P5 3 1 1023\n" + np.array([0, 512, 1023], ">u2").tobytes()
    assert decode_image(data, "a", MAX)[0, :, 0].tolist() == [0, 128, 255]


def test_a_tiff_of_twelve_bits_has_its_own_range():
    """Made by hand, since nothing here writes one: pixels 0, 2048, 4095 and 1 in 6 bytes."""
    pixels = int(f"{0:012b}{2048:012b}{4095:012b}{1:012b}", 2).to_bytes(6, "big")
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    tags.append((279, len(pixels)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 14) + pixels
    data = head + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert decode_image(data, "a", MAX)[0, :, 0].tolist() == [0, 128, 255, 0]


def test_colors_of_sixteen_bits_keep_their_upper_eight():
    levels = np.full((2, 2, 3), (0, 32768, 65535), np.uint16)
    data = cv2.imencode(".png", levels)[1].tobytes()
    assert decode_image(data, "a", MAX)[0, 0].tolist() == [255, 128, 0]


def test_a_tiff_of_white_first_is_not_a_negative():
    levels = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert decoded(levels, "TIFF", tiffinfo={262: 0})[0, :, 0].tolist() == [255, 0]


def test_floats_of_0_to_1_are_read_and_others_refused():
    def tiff(*values: float) -> bytes:
        return encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")

    assert decode_image(tiff(0, 0.5, 1), "a", MAX)[0, :, 0].tolist() == [0, 128, 255]
    for values in ((0, 200), (-0.1, 1), (float("nan"), 1)):
        with pytest.raises(CorruptImageError, match=r"^a: F pixels from .* want 0 to 1$"):
            decode_image(tiff(*values), "a", MAX)
    wide = encoded(Image.fromarray(np.array([[0, 1 << 20]], np.int32)), "TIFF")
    with pytest.raises(CorruptImageError, match=r"^a: I pixels from 0 to 1\.04858e\+06; want 0 to"):
        decode_image(wide, "a", MAX)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "P", "grey16"])
def test_hidden_colors_do_not_show_through(mode):
    """The left half is transparent, and its hidden level is 250; the right half is 60."""
    grey = np.full((4, 8), 60, np.uint8)
    grey[:, :4] = 250
    image, how = Image.fromarray(grey), {}
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.where(grey == 250, 0, 255).astype(np.uint8)))
    elif mode == "grey16":
        image, how = Image.fromarray(grey.astype(np.uint16) * 257), {"transparency": 250 * 257}
    else:
        image = image.convert("RGB").quantize(2) if mode == "P" else image.convert(mode)
        level = image.getpixel((0, 0))
        how = {"transparency": level}
    pixels = decode_image(encoded(image, "PNG", **how), "a", MAX, 200)
    assert (pixels[:, :4] == 200).all()
    assert (pixels[:, 4:] == 60).all()


def test_half_transparent_is_half_background():
    image = Image.new("RGBA", (2, 2), (0, 100, 255, 51))  # a fifth
    assert decode_image(encoded(image, "PNG"), "a", MAX, 200)[0, 0].tolist() == [160, 180, 211]
    assert SourceConfig().background == BACKGROUND


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_no_negative(form):
    """Adobe's JPEGs hold it inverted, as Pillow writes them; TIFF does not."""
    image = picture().convert("CMYK")
    far = np.abs(decoded(image, form).astype(int) - np.asarray(picture()))
    assert np.median(far) <= 2
    assert far.mean() < 8  # of which JPEG's quarters have blurred edges


def test_the_first_of_several_frames_counts():
    frames = [Image.new("RGB", (4, 4), (level, level, level)) for level in (10, 200)]
    for form in ("TIFF", "WEBP", "PNG"):
        how = {"lossless": True} if form == "WEBP" else {}
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **how)
        assert (decode_image(data, "a", MAX) == 10).all(), form


def test_the_header_is_checked_before_pixels_are_decoded(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("L", (40, 30)), "PNG", exif=exif)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # whoever decodes calls it
    with pytest.raises(CorruptImageError, match=r"^a: 40x30 pixels, more than 1199 \(source\."):
        decode_image(data, "a", 1199)


def test_the_format_is_that_of_the_content():
    with pytest.raises(CorruptImageError, match=r"^key: not a readable image"):
        decoded(picture(), "GIF")  # a format that is not read
    suffixes = [suffix for own in SUFFIXES.values() for suffix in own]
    assert len(set(suffixes)) == len(suffixes)


@pytest.mark.usefixtures("heif")
def test_heic_without_its_package_names_the_pip_line(monkeypatch):
    data, real = encoded(picture(), "HEIF"), builtins.__import__

    def without(name, *rest):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(decoding, "missing_package", decoding.missing_package.__wrapped__)
    assert decoding.missing_package(".jpg") == ""
    with pytest.raises(CorruptImageError, match=r"HEIC.*pip install 'face-factory\[formats\]'"):
        decode_image(data, "a", MAX)


def test_no_limit_but_ours_counts(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow warns above it, refuses above twice
    data = encoded(picture(), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(data, "key", MAX).shape == (32, 48, 3)
        with pytest.raises(CorruptImageError, match=r"48x32 pixels, more than 100 \(source\.max"):
            decode_image(data, "key", 100)
