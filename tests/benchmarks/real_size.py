"""What a roster of 300,000 and a gallery of 100,000 real people cost a maker, and a second one.

    python -m tests.benchmarks.real_size                # prints JSON, in about four minutes
    python -m tests.benchmarks.real_size --people 3000 --real 1000 --units 1    # tries it out

The demo's generator draws with the demo's settings. Scores are by an untrained recognizer of 512
values (the demo's has 256) whose checkpoint holds the real people, so every part that loads or
compares them is the real one. Both sizes take turns in one process on one core, where what is
scored beside the drawing is paid for; memory is what cannot be shared (RssAnon), at its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import load
from factory.identities.roster import Roster
from factory.recognition.backbone import IResNet
from factory.recognition.embed import Recognizer
from factory.records import Identity
from factory.shards import layout
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore
from factory.synthesis.loading import LoadedRelease
from factory.synthesis.maker import ShardMaker
from tests.benchmarks.gpu.starter_maker import DEMO, open_maker, random_people
from tests.planned import request_with

CPU, DIM, PX, FEW = torch.device("cpu"), 512, 112, 100
PEOPLE_A_UNIT, IMAGES = 2, 8
SAMPLED_S = 0.002
"""Seconds between looks at an actor's memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=300_000)
    parser.add_argument("--real", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=8, help="units of each size that are timed")
    parser.add_argument("--actor", type=Path, help="(be an actor on this folder)")
    given = parser.parse_args()
    if given.actor:
        be_an_actor(given.actor)
        return
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = place
        large, small = Path(place) / "large", Path(place) / "small"
        prepare(large, given.people, given.real)
        prepare(small, FEW, FEW)
        figures = {"people": given.people, "real": given.real, "values": DIM}
        print(json.dumps(figures | memory(large, small) | speed(large, small, given.units)))


def prepare(folder: Path, people: int, real: int) -> None:
    """A roster file, and a recognizer's checkpoint that holds real people."""
    torch.manual_seed(0)
    weights = IResNet("iresnet_mini", DIM, PX).state_dict()
    tensors = {f"backbone.{name}": tensor for name, tensor in weights.items()}
    tensors["prototypes.real"] = torch.from_numpy(unit_rows(1, real))
    config = {
        "backbone": "iresnet_mini",
        "embedding_dim": DIM,
        "image_px": PX,
        "dropout": 0.0,
        "real_names": [f"{i:07d}" for i in range(real)],
    }
    made = checkpoint.Checkpoint("recognizer", tensors, config, 0, {}, {}, "")
    checkpoint.save(folder / "recognizer", made)
    np.save(folder / "roster.npy", unit_rows(0, people))


def unit_rows(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def maker_of(folder: Path) -> ShardMaker:
    """A maker of the demo's kind whose filters keep everything, so that rounds are alike."""
    demo = load(DEMO)
    people = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, IMAGES) for i in range(FEW)]
    request = request_with(
        plan={"micro_batch": demo.plan.micro_batch, "max_rounds": 1},
        filters={"min_own_cosine": None, "min_identity_gap": None},
    )
    request = replace(request, sampler=demo.sampler, shards=demo.shards)
    digest = checkpoint.file_sha256(folder / "roster.npy")
    plan = Plan(request, {layout.EMBEDDINGS: digest}, cut_units(people, PEOPLE_A_UNIT))
    roster = Roster(people, np.load(folder / "roster.npy", mmap_mode="r"))
    torch.set_num_threads(1)
    recognizer = Recognizer.load(str(folder / "recognizer"), CPU)
    generator = open_maker(CPU, demo.compute.precision, random_people(FEW)).generator
    release = LoadedRelease(plan, roster, generator, recognizer, None)
    store = LocalStore(folder / f"made-{os.getpid()}")
    return ShardMaker.at(release, store, demo.fleet.max_queued_bytes)


def speed(large: Path, small: Path, units: int) -> dict[str, Any]:
    """Faces a second with both sizes, which take turns."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    makers, seconds = {p.name: maker_of(p) for p in (large, small)}, {"large": [], "small": []}
    for unit in range(units + 1):
        for name, maker in makers.items():
            started = time.process_time()
            maker.make(unit)
            maker.flush()
            seconds[name].append(time.process_time() - started)
    for maker in makers.values():
        maker.close()
    faces = PEOPLE_A_UNIT * IMAGES
    rate = {name: faces / statistics.median(took[1:]) for name, took in seconds.items()}
    return {
        "faces_per_cpu_s_large": round(rate["large"], 3),
        "faces_per_cpu_s_small": round(rate["small"], 3),
        "ratio": round(rate["large"] / rate["small"], 3),
    }


def memory(large: Path, small: Path) -> dict[str, Any]:
    """Peak private memory of a second actor with either size, beside a first with the large one."""
    with started(large) as first:
        json.loads(first.stdout.readline())
        peaks = {}
        for folder in (large, small):
            with started(folder) as second:
                peaks[folder.name] = json.loads(second.stdout.readline())["peak_bytes"]
                second.stdin.close()
        first.stdin.close()
    return {
        "second_actor_bytes_large": peaks["large"],
        "second_actor_bytes_small": peaks["small"],
        "second_actor_more_mb": round((peaks["large"] - peaks["small"]) / 1e6, 1),
    }


def started(folder: Path) -> subprocess.Popen[str]:
    """An actor that has made a unit when it writes its first line, and lives until it is closed."""
    command = [sys.executable, "-m", "tests.benchmarks.real_size", "--actor", str(folder)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )


def be_an_actor(folder: Path) -> None:
    """Open a maker and make a unit; tell the peak of the private memory meanwhile."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLED_S):
            peak[0] = max(peak[0], private_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    maker = maker_of(folder)
    maker.make(0)
    maker.flush()
    done.set()
    watcher.join()
    print(json.dumps({"peak_bytes": peak[0]}), flush=True)
    sys.stdin.read()
    maker.close()


def private_bytes() -> int:
    """Memory of this process that no other one can share."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "want Linux"
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
