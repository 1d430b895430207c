"""A recognizer learns from a release in a bucket what it learns from the same one in memory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from factory import checkpoint
from factory.config import Config, load
from factory.recognition import batches
from factory.recognition.train import train
from factory.store import LocalStore, open_store
from tests.conftest import PX, SMALL_RECOGNIZER
from tests.ranks import run_ranks
from tests.releases import write_release

PEOPLE, IMAGES, BATCH, EPOCHS = 6, 8, 8, 2
PER_EPOCH = PEOPLE * IMAGES // BATCH
STEPS = PER_EPOCH * EPOCHS
DIES_AT = PER_EPOCH + 3
RECIPE = [
    *SMALL_RECOGNIZER,
    "recognizer.lr=0.002",  # so small that the rounding of two ranks does not grow
    "source.kind=webdataset",
    f"recognizer.batch_size={BATCH}",
    f"recognizer.epochs={EPOCHS}",
]

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.timeout(400)]


def recipe_of(folder: str, items: list[str]) -> Config:
    (Path(folder) / "c.yaml").write_text("{}\n")
    return load(Path(folder) / "c.yaml", [*RECIPE, *items])


def train_a_rank(folder: str, items: list[str], dies_at: int | None) -> list[str]:
    """Train on this rank, which dies once it has logged a step; its lines.

    Nothing but images of batches may be read: the source does not fit into memory.
    """

    def refuse(*_: object) -> None:
        raise AssertionError("the whole source was read into memory")

    batches.training_faces = refuse
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if dies_at and line.startswith(f"step {dies_at}/"):
            os.kill(os.getpid(), signal.SIGKILL)

    train(recipe_of(folder, items), log)
    return lines


def losses(out: Path) -> list[float]:
    entries = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == list(range(1, STEPS + 1)), "every step once"
    return [entry["loss"] for entry in entries]


def test_two_ranks_killed_in_an_epoch_end_with_the_weights_of_an_undisturbed_run(
    s3_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings, folder = s3_config(), LocalStore(tmp_path / "release")
    write_release(folder, [1, 2, 3], IMAGES, px=PX)
    for name in folder.list(""):
        open_store(settings).put(name, folder.get(name))
    there = [
        f"source.path={settings.url}",
        f"store.endpoint_url={settings.endpoint_url}",
        "store.path_style=true",
        "batches.num_workers=1",
        f"training.out={tmp_path / 'ranks'}",
    ]
    arguments = {"folder": str(tmp_path), "items": there, "dies_at": DIES_AT}
    module = f"{__name__}:train_a_rank"
    with pytest.raises(AssertionError, match="rank 0"):
        run_ranks(module, 2, arguments)
    (tmp_path / "alone").mkdir()
    here = [f"source.path={folder.root}", f"training.out={tmp_path / 'alone' / 'out'}"]
    train(recipe_of(str(tmp_path / "alone"), here), lambda line: None)
    lines, _ = run_ranks(module, 2, arguments | {"dies_at": None})
    assert not any(line.startswith(f"step {DIES_AT - 2}/") for line in lines)  # it went on
    out, alone = tmp_path / "ranks", tmp_path / "alone" / "out"
    assert losses(out) == pytest.approx(losses(alone), rel=1e-4, abs=1e-4)
    one, two = (checkpoint.load(str(place), "recognizer", "out").tensors for place in (out, alone))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert np.allclose(tensor.numpy(), two[name].numpy(), rtol=1e-3, atol=1e-4), name
