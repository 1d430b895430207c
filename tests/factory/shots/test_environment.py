"""What decides bytes is in the digest of a plan's environment; what does not refuses no resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import factory
from factory.shots.environment import ROOMS_THAT_DECIDE_BYTES, sources_sha256


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package's code."""
    original = Path(factory.__file__).parent
    copy = tmp_path / "factory"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("starter", "__pycache__"))
    assert sources_sha256(copy) == sources_sha256()
    return copy


def changed(file: Path) -> None:
    file.write_text(file.read_text() + "\n# another line\n")


@pytest.mark.parametrize(
    "name",
    [
        "__init__.py",
        "diffusion/sampler.py",
        "editing/regions.py",
        "identities/gate.py",
        "images.py",
        "recognition/embed.py",
        "seeds.py",
        "shards/writer.py",
        "shots/plan.py",
        "sources/alignment.py",
        "store/parquet.py",
        "synthesis/generators.py",
        "text_to_image/lora.py",
        "training/distributed.py",
        "quality/filters.py",
    ],
)
def test_a_change_of_what_decides_bytes_is_another_environment(package, name):
    changed(package / name)
    assert sources_sha256(package) != sources_sha256()


@pytest.mark.parametrize(
    "name",
    [
        "report/page.py",
        "evaluation/leakage.py",
        "studies/claims.py",
        "planning/estimate.py",
        "execution/progress_bar.py",
        "store/s3.py",
        "config/release.py",
        "release.py",
        "training/engine.py",
    ],
)
def test_a_typo_that_is_mended_elsewhere_refuses_no_resume(package, name):
    changed(package / name)
    assert sources_sha256(package) == sources_sha256()


def test_every_room_named_is_there():
    """A room that moves away must not fall out of the digest silently."""
    root = Path(factory.__file__).parent
    assert all((root / room).exists() for room in ROOMS_THAT_DECIDE_BYTES)


def test_a_file_that_moves_to_another_room_is_another_environment(package):
    (package / "diffusion/sampler.py").rename(package / "editing/sampler.py")
    assert sources_sha256(package) != sources_sha256()
