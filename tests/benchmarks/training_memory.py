"""Memory and time of a training whose faces are in files, against one that holds them.

    python -m tests.benchmarks.training_memory [NUM_FACES [--memory]]

Drawn faces of 64 px: bytes of a process that are no file's, a further face. The starter pack: time
of a step of its generator's recipe (in small) and of its autoencoder's. Each pair in one run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from factory.config import Config, load
from factory.training import faces as opening
from factory.training.batch_order import BatchOrder
from factory.training.faces import open_faces
from tests.mapped import DrawnSource, anonymous_bytes

PX, BATCH = 64, 64
PLACES = {"memory": 1 << 40, "files": 0}


def config_of(folder: Path, *settings: str) -> Config:
    (folder / "c.yaml").write_text("{}\n")
    return load(folder / "c.yaml", [f"training.out={folder / 'out'}", *settings])


def held(num_faces: int, most: int, folder: str) -> dict[str, float]:
    """Bytes that this process holds after an epoch of batches, and seconds of it."""
    source = DrawnSource(num_faces, PX)
    settings = (f"source.image_px={PX}", f"training.faces_in_memory_bytes={most}")
    config = config_of(Path(folder), *settings)
    BatchOrder(0, 1000, BATCH).batch(0)  # so that what is loaded for it is not counted
    before = anonymous_bytes()
    with patch.object(opening, "open_source", lambda config: source):
        faces, _ = open_faces(config)
    order, began = BatchOrder(0, len(faces), BATCH), time.perf_counter()
    for step in range(num_faces // BATCH):
        faces.images_NHWC[order.batch(step)].sum()
    seconds = time.perf_counter() - began
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {
        "held_bytes": anonymous_bytes() - before,
        "disk_bytes_a_face": sum(path.stat().st_size for path in files) / num_faces,
        "epoch_of_reads_s": seconds,
    }


def in_processes(num_faces: int, most: int) -> list[dict[str, float]]:
    """What a process holds that makes the faces, and one that finds them made."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", __spec__.name, "--one", str(num_faces), str(most), folder]
        run = [sys.executable, *words]
        done = [subprocess.run(run, capture_output=True, text=True, check=True) for _ in range(2)]
    return [json.loads(each.stdout.splitlines()[-1]) for each in done]


def epochs(folder: Path) -> dict[str, float]:
    """Time of a step on the starter pack in files, as a fraction of that in memory."""
    from factory.diffusion import autoencoder
    from factory.diffusion import train as generator

    small = ["compute.device=cpu", "compute.precision=fp32", "source.num_identities=12"]
    small += ["recognizer.checkpoint=starter:recognizer", "training.save_every_s=10000"]
    small += ["autoencoder.checkpoint=starter:autoencoder", "generator.width=32"]
    small += ["generator.depth=3", "generator.num_heads=2", "autoencoder.widths=[16,16]"]
    small += ["autoencoder.perceptual_weight=0.0"]  # so that reading is more of a step
    small += ["generator.batch_size=16", "autoencoder.batch_size=16"]
    small += ["training.max_steps=40", "training.log_every=10"]
    trainings = {"generator": generator.train, "autoencoder": autoencoder.train}
    ratios = {}
    for name, train in trainings.items():
        seconds: dict[str, list[float]] = {place: [] for place in PLACES}
        for turn in range(3):
            for place, most in PLACES.items():
                out = folder / f"{name}-{place}-{turn}"
                cache = [f"training.cache={folder / 'cache'}"] if place == "files" else []
                changes = (f"training.out={out}", f"training.faces_in_memory_bytes={most}", *cache)
                train(config_of(folder, *small, *changes), lambda line: None)
                lines = (out / "history.jsonl").read_text().splitlines()
                first, last = (json.loads(line) for line in (lines[0], lines[-1]))
                # what was computed before the first step is in both
                ends = [line["step"] / line["images_per_s"] for line in (first, last)]
                seconds[place].append((ends[1] - ends[0]) / (last["step"] - first["step"]))
        ratios[name] = float(np.min(seconds["files"]) / np.min(seconds["memory"]))
    return ratios


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(held(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
        return
    num_faces = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    growth: dict[str, float] = {}
    for place, most in PLACES.items():
        few, many = (in_processes(count, most) for count in (num_faces // 4, num_faces))
        for turn, before, after in zip(("first", "again"), few, many, strict=True):
            held_more = after["held_bytes"] - before["held_bytes"]
            growth[f"{place}, {turn}"] = held_more / (num_faces - num_faces // 4)
            print(f"{place}, {turn}: {growth[f'{place}, {turn}']:.1f} bytes held a further face")
            print(f"  {num_faces}: { {name: round(value, 3) for name, value in after.items()} }")
    for turn in ("first", "again"):
        ratio = growth[f"memory, {turn}"] / growth[f"files, {turn}"]
        print(f"{turn}: in memory {ratio:.0f} times as many as in files")
    if "--memory" in sys.argv:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, value in epochs(Path(folder)).items():
            print(f"{name}: time of a step in files / in memory: {value:.3f}")


if __name__ == "__main__":
    main()
