"""What decides a rendered image: numbers, seeds, and digests of what renders."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from factory.config.rendering import RenderingConfig
from factory.errors import ConfigError
from factory.rendering.head.head import ASSETS
from factory.seeds import stream_seed

ROOM = Path(__file__).parent
PACKAGE = "mitsuba"


def view_seed(config: RenderingConfig, person: int, image: int) -> int:
    """Seed of everything about an image of a person, both by number: that of images.draw_view."""
    return stream_seed("image", config.seed, person, image)


def mitsuba_version() -> str:
    """Version of the renderer, which is not loaded; raises ConfigError where there is none."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise ConfigError(
            "rendering: mitsuba is not installed; pip install 'face-factory[render]'"
        ) from None


@cache
def assets_sha256() -> str:
    """sha256 over the files of the head model, by name."""
    return _sha256(sorted(path for path in ASSETS.rglob("*") if path.is_file()))


@cache
def renderer_sha256() -> str:
    """sha256 over the code of this room and its assets: others may render other pixels."""
    code = _sha256(sorted(ROOM.rglob("*.py")))
    return hashlib.sha256(f"{code} {assets_sha256()} {mitsuba_version()}".encode()).hexdigest()


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOM).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()
