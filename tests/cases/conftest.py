"""What the cases share: rendered faces of the starter pack as files, and jobs run as typed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.sources.readers import STARTER_PACK
from jobs._catalog import find

Faces = Callable[..., Path]
"""faces(folder, people=3, images=3) -> the folder, with folder/00000/00.jpg and so on in it."""
RunJob = Callable[..., tuple[int, str]]
"""run_job(name, *words) -> (exit code, all that it printed)."""
DryRun = Callable[..., tuple[int, str]]
"""dry_run(path, *words) -> (exit code, what a training of a recognizer says of that source)."""


@pytest.fixture(scope="session")
def starter_images() -> dict[str, bytes]:
    """JPEGs of the starter pack, 112 pixels, by their names in it; nobody real is in them."""
    with tarfile.open(STARTER_PACK) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@pytest.fixture
def faces(starter_images) -> Faces:
    """Function that fills a folder with faces of the starter pack, one folder a person."""

    def fill(folder: Path, people: int = 3, images: int = 3) -> Path:
        names = sorted({name.split("/")[0] for name in starter_images})[:people]
        for name in names:
            (folder / name).mkdir(parents=True)
            own = sorted(image for image in starter_images if image.startswith(f"{name}/"))
            for image in own[:images]:
                (folder / image).write_bytes(starter_images[image])
        return folder

    return fill


@pytest.fixture
def run_job(capsys) -> RunJob:
    """Function that runs a job with the words of a command line, in this process."""

    def run(name: str, *words: object) -> tuple[int, str]:
        capsys.readouterr()
        code: int | str | None = 0
        try:
            find(name).main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        said = code if isinstance(code, str) else ""
        return (1 if said else int(code or 0)), printed.out + printed.err + said

    return run


@pytest.fixture
def dry_run(run_job) -> DryRun:
    """Function that asks a training of a recognizer what it makes of a source."""

    def check(path: Path, *words: str) -> tuple[int, str]:
        recipe = ("configs/recognizer/mini.yaml", "source.license=CC0-1.0")
        own = ("source.holdout_identities=0", "compute.compile=false", f"source.path={path}")
        return run_job("train_recognizer", *recipe, *own, *words, "--dry-run")

    return check
