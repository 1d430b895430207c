"""The one decoder of images: whatever a file holds becomes RGB uint8 HWC, upright, without alpha.

The format is told by content; a suffix only says which files may be images. Of several frames the
first counts. Color profiles (ICC) are not applied, so a photograph in Display P3 is a little pale.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from factory.sources.base import CorruptImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""What files of each format are called, in Pillow's names of formats."""
PILLOWS_OWN = tuple(name for name in SUFFIXES if name != "HEIF")
"""Those that Pillow decodes without another package."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""ISO/IEC 23008-12, section 10: what begins a file of a telephone's photographs."""
DECODING = "2"
"""Another whenever pixels of some image change, so that what is kept of them is made anew."""
BACKGROUND = 128
"""Grey level behind what is transparent: 0 to networks, whose pixels are -1 to 1."""
ORIENTATION, WHITE_IS_0, BITS = 0x0112, 0x0106, 0x0102
"""Tags of EXIF and TIFF: orientation, photometric interpretation, bits of a sample."""


def decode_image(
    data: bytes | memoryview, key: str, max_pixels: int, background: int = BACKGROUND
) -> np.ndarray:
    """RGB uint8 HWC of an encoded image, turned as its EXIF says.

    Raises CorruptImageError naming the key. The size in the header is checked before any pixel is
    decoded. 16 bits become 8 by their whole range (65535 is 255), floats of 0 to 1 too;
    `background` (0 to 255) shows through where the image is transparent.
    """
    try:
        with _opened(data, _formats(bytes(data[:64]), key)) as image:
            if image.width * image.height > max_pixels:
                raise CorruptImageError(
                    f"{key}: {image.width}x{image.height} pixels, more than {max_pixels} "
                    "(source.max_pixels)"
                )
            image.load()
            return np.asarray(_upright(_rgb(image, key, background), _orientation(image)))
    except CorruptImageError:
        raise
    except Exception as error:  # because Pillow's decoders raise nearly anything on bad bytes
        raise CorruptImageError(f"{key}: not a readable image ({type(error).__name__})") from None


def image_header(data: bytes | memoryview, key: str) -> tuple[str, str, int, int]:
    """Format in Pillow's name, color mode, width and height of an encoded image, without a pixel.

    Raises CorruptImageError naming the key.
    """
    try:
        with _opened(data, _formats(bytes(data[:64]), key)) as image:
            return image.format or "unknown", image.mode, image.width, image.height
    except CorruptImageError:
        raise
    except Exception as error:  # because Pillow's readers raise nearly anything on bad bytes
        raise CorruptImageError(f"{key}: not a readable image ({type(error).__name__})") from None


def _opened(data: bytes | memoryview, formats: list[str]) -> ImageFile:
    """An image whose header alone is read, in one of some formats.

    As Image.open, but without its own limit of pixels, which all threads of a process share.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    head = bytes(data[:16])
    for name in formats:
        if name not in Image.OPEN:
            continue
        opener, accepts = Image.OPEN[name]
        if accepts is None or accepts(head) is True:
            try:
                return opener(io.BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # as Pillow's plugins refuse
                continue
    raise UnidentifiedImageError


@lru_cache
def missing_package(suffix: str) -> str:
    """The pip line of what decodes files of a suffix, where it is not installed; else ''."""
    from PIL import features

    if suffix in SUFFIXES["HEIF"] and not _has_heif():
        return "pip install 'face-factory[formats]'"
    if suffix in SUFFIXES["AVIF"] and not features.check("avif"):
        return "pip install --upgrade pillow"
    return ""


def _has_heif() -> bool:
    """Whether Pillow reads HEIC, which a package of its own adds to it."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _formats(head: bytes, key: str) -> list[str]:
    """The formats that a file which begins so may have; raises CorruptImageError for HEIC alone."""
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS and b"avif" not in head:
        if not _has_heif():
            raise CorruptImageError(f"{key}: a HEIC image; to read it, {missing_package('.heic')}")
        return ["HEIF"]
    return list(PILLOWS_OWN)


def _orientation(image: Image) -> int:
    """EXIF's orientation, 1 to 8: that of TIFF and HEIC is 1, which are turned on decoding.

    Image.getexif looks into XMP too, which may hold any text, such as a prompt.
    """
    from PIL import Image as images

    exif, data = images.Exif(), image.info.get("exif")
    try:
        if data is None and (text := image.info.get("Raw profile type exif")):  # ImageMagick's PNG
            data = bytes.fromhex("".join(text.split("\n")[3:]))
        if not data:
            return 1
        exif.load(data)
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # because EXIF of others may be anything
        return 1


def _upright(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _rgb(image: Image, key: str, background: int) -> Image:
    """The image in RGB, over the background where it is transparent."""
    from PIL import Image as images

    if image.mode.startswith("I") or image.mode == "F":
        return images.fromarray(_grey(image, key, background)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    below = images.new("RGBA", image.size, (background, background, background, 255))
    straight = image.convert("LA") if image.mode == "La" else image
    return images.alpha_composite(below, straight.convert("RGBA")).convert("RGB")


def _grey(image: Image, key: str, background: int) -> np.ndarray:
    """Grey levels uint8 HW of an image with more than 8 bits; raises CorruptImageError."""
    values_HW, tags = np.asarray(image), getattr(image, "tag_v2", {})
    full = 1 if image.mode == "F" else (1 << (12 if 12 in tags.get(BITS, ()) else 16)) - 1
    if not (values_HW.min() >= 0 and values_HW.max() <= full):  # NaN is neither
        raise CorruptImageError(
            f"{key}: {image.mode} pixels from {values_HW.min():g} to {values_HW.max():g}; want "
            f"0 to {full}"
        )
    if image.mode == "F":
        grey_HW = np.rint(values_HW * 255).astype(np.uint8)
    else:
        levels = np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)
        grey_HW = levels[values_HW.astype(np.uint16)]
    if tags.get(WHITE_IS_0) == 0:
        grey_HW = 255 - grey_HW
    hidden = image.info.get("transparency")  # PNG: one level of grey that is not there
    return grey_HW if hidden is None else np.where(values_HW == hidden, background, grey_HW)
