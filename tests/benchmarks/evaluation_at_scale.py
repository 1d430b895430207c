"""Evaluation of millions of faces on two actors: the driver's memory, a kill half-way, a resume.

    python -m tests.benchmarks.evaluation_at_scale --faces 2000000 --out /tmp/faces

Faces are painted (tests/painted.py): vectors and metadata as makers leave them, no images. A driver
with a local Ray measures them and is killed (SIGKILL) when half of the units are recorded; a second
one goes on. Prints JSON: seconds of each part, units that the second driver measured although they
were recorded (wanted: 0), the second driver's peak memory (wanted: below 1 GiB), some figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from cluster.fleet import run_units
from factory.evaluation.fidelity import fidelity
from factory.evaluation.leakage import LeakageTally
from factory.evaluation.measuring import measure_units
from factory.evaluation.reduction import CLASS, Reduction
from factory.evaluation.similarity import similarity
from factory.evaluation.tallies import Moments
from factory.shards import layout, manifest
from factory.store import LocalStore
from tests.memory import peak_bytes
from tests.painted import (
    SPACES,
    Painting,
    config_of,
    paint_unit,
    painted,
    plan_of,
    real_faces,
    runner,
    yardstick_of,
)

PEOPLE, IMAGES, DIM = 40, 20, 64
PAINTERS = 2


def painting_of(faces: int, num_real: int) -> Painting:
    return Painting(-(-faces // (PEOPLE * IMAGES)), PEOPLE, IMAGES, DIM, num_real)


def store_at(out: Path) -> LocalStore:
    return LocalStore(out / "painted/releases/1")


def paint_all(out: Path, painting: Painting) -> None:
    """Paint and seal, by two processes."""
    store, plan = store_at(out), plan_of(painting)
    store.put(layout.PLAN, plan.to_json())
    one = partial(_paint, str(store.root), painting, plan.hash)
    with multiprocessing.get_context("spawn").Pool(PAINTERS) as pool:
        pool.map(one, range(painting.num_units), chunksize=16)
    manifest.seal(store, plan, 0.0)


def _paint(root: str, painting: Painting, plan_hash: str, unit: int) -> None:
    paint_unit(LocalStore(root), painting, unit, plan_hash)


def measure(out: Path, painting: Painting) -> None:
    """What a driver does; prints JSON in its last line."""
    began, store = time.perf_counter(), store_at(out)
    release, config, measured_here = painted(store, painting), config_of(store), []
    judged, *_ = real_faces(painting)
    yardstick = yardstick_of(painting)
    people = yardstick.galleries

    def on_two_actors(fleet, open_maker, units, *rest) -> None:
        measured_here.extend(units)
        run_units(fleet, open_maker, units, *rest)

    log = partial(print, flush=True)
    measurement = measure_units(config, release, SPACES, people, runner(on_two_actors), log)
    mapped_s = time.perf_counter() - began
    tally = LeakageTally(config.audit, yardstick)
    folder = out / "reduction"
    folder.mkdir(exist_ok=True)
    made = Reduction(folder, 4, tally).add_all(measurement.records())
    sample, space = made.sample(), made.spaces["judge"]
    real = judged.unit_ND
    figures = {
        "fid": fidelity(sample["judge"], real, space.moments, Moments.of(real)).fid,
        "nnccs": space.consistency(sample["judge"], sample[CLASS]).nnccs.mean,
        "auc": similarity(space.pairs(), made.pair_labels(), real, judged.labels).release.auc,
        "duplicates_across": made.duplicates().across_identities,
        "leaks": tally.finish(lambda unit, row: {"key": f"{unit} {row}"}).metrics.faces.num_leaks,
    }
    took = {
        "map_s": round(mapped_s, 1),
        "reduce_s": round(time.perf_counter() - began - mapped_s, 1),
    }
    print(json.dumps({"peak_bytes": peak_bytes(), "units": measured_here, **took, **figures}))


def driver(args: argparse.Namespace) -> subprocess.Popen[str]:
    """A driver in a process group of its own."""
    words = ["--faces", str(args.faces), "--real", str(args.real), "--out", str(args.out)]
    command = [sys.executable, "-m", "tests.benchmarks.evaluation_at_scale", *words, "--driver"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def recorded(out: Path) -> set[int]:
    """Units that have a record."""
    return {int(file.stem) for file in (out / "painted/evaluation").rglob("*.safetensors")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--faces", type=int, default=2_000_000)
    parser.add_argument("--real", type=int, default=300, help="real people, two images each")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--driver", action="store_true", help="be a driver, for this script itself")
    args = parser.parse_args()
    painting = painting_of(args.faces, args.real)
    if args.driver:
        measure(args.out, painting)
        return
    began = time.perf_counter()
    paint_all(args.out, painting)
    painted_s, began = time.perf_counter() - began, time.perf_counter()
    first = driver(args)
    while len(recorded(args.out)) < painting.num_units // 2:
        assert first.poll() is None, "the first driver ended before it was killed"
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    killed_s, before = time.perf_counter() - began, recorded(args.out)
    began = time.perf_counter()
    second = driver(args)
    lines, _ = second.communicate()
    result = json.loads(lines.splitlines()[-1])
    again = set(result.pop("units"))
    faces = painting.num_units * painting.each
    print(
        json.dumps(
            {
                "faces": faces,
                "units": painting.num_units,
                "recorded_at_the_kill": len(before),
                "measured_by_the_second": len(again),
                "recorded_and_measured_again": len(before & again),
                "seconds": {
                    "paint": round(painted_s, 1),
                    "until_the_kill": round(killed_s, 1),
                    "second": round(time.perf_counter() - began, 1),
                },
                **result,
            }
        )
    )
    assert second.returncode == 0
    assert not before & again
    assert result["peak_bytes"] < 1 << 30


if __name__ == "__main__":
    main()
