"""A roster of the real size: seconds to write and read it, and what a second process pays for it.

    python -m tests.benchmarks.roster_at_scale --identities 500000 --dim 512

Prints JSON. `objects` is how rosters were written and read until version 0.2 (a dataclass for each
identity, all bytes in memory), in a process of its own, as `columns` is. Private memory of a second
process that opens the roster and reads every vector is asked of the kernel (smaps_rollup) while the
first holds it too; it is given for a process that opens a roster of one person as well.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq

from factory.identities.people import MIXES, People
from factory.identities.roster import Roster
from factory.records import Identity
from factory.shards import layout
from factory.shards.plan_files import open_roster
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore
from factory.store.parquet import to_parquet
from tests.planned import REQUEST


def columns(count: int) -> People:
    rng = np.random.default_rng(0)
    return People.filled(
        count,
        index=np.arange(count),
        kind="virtual",
        proposal="pca",
        attempt=rng.integers(9, size=count),
        nearest_real_cosine=rng.random(count).round(6),
        nearest_other_cosine=rng.random(count).round(6),
        nearest_other=rng.integers(count, size=count),
        num_shots=8,
    )


def vectors(count: int, dim: int) -> np.ndarray:
    """Vectors that are quick to make."""
    return np.resize(np.random.default_rng(0).random((4096, dim), np.float32), (count, dim))


def write(folder: str, count: int, dim: int, as_objects: bool) -> dict[str, float]:
    people, unit_ND, store = columns(count), vectors(count, dim), LocalStore(folder)
    if as_objects:
        identities = [
            Identity(**{k: v for k, v in asdict(p).items() if k != "originals"}) for p in people
        ]
        del people
    before_mb, start = peak_mb(), time.process_time()
    if as_objects:
        rows = [asdict(identity) for identity in identities]
        for row in rows:
            for name in ("originals", *MIXES):
                del row[name]
        buffer = io.BytesIO()
        np.save(buffer, unit_ND.astype(np.float32), allow_pickle=False)
        contents = {layout.ROSTER: to_parquet(rows), layout.EMBEDDINGS: buffer.getvalue()}
    else:
        roster = Roster(people, unit_ND)
        contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    took = {"cpu_s": time.process_time() - start, "peak_mb": peak_mb() - before_mb}
    for name, content in contents.items():
        store.put(name, content)
    return took


def read(folder: str, plan: Plan, as_objects: bool) -> dict[str, float]:
    store, before_mb, start = LocalStore(folder), peak_mb(), time.process_time()
    if as_objects:
        content = {name: store.get(name) for name in (layout.ROSTER, layout.EMBEDDINGS)}
        for name in content:
            assert hashlib.sha256(content[name]).hexdigest() == plan.roster_sha256[name]
        rows = pq.read_table(io.BytesIO(content[layout.ROSTER])).to_pylist()
        unit_ND = np.load(io.BytesIO(content[layout.EMBEDDINGS]), allow_pickle=False)
        held = [Identity(**row) for row in rows], unit_ND
    else:
        held = open_roster(store, plan)
    took = {"cpu_s": time.process_time() - start, "peak_mb": peak_mb() - before_mb}
    del held
    return took


def private_mb() -> float:
    """Memory that this process shares with no other."""
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) / 1024


def hold(folder: str, plan: Plan, as_objects: bool) -> None:
    """Open the roster, read all of its vectors, print what it cost once asked, then go."""
    input()
    before = private_mb()
    if as_objects:
        content = LocalStore(folder).get(layout.EMBEDDINGS)
        unit_ND = np.load(io.BytesIO(content), allow_pickle=False)
        people = list(Roster.read(LocalStore(folder).get(layout.ROSTER), content).identities)
    else:
        roster = open_roster(LocalStore(folder), plan)
        unit_ND, people = roster.unit_ND, roster.identities
    total = sum(float(unit_ND[i : i + 4096].sum()) for i in range(0, len(unit_ND), 4096))
    print("open", flush=True)
    input()
    print(private_mb() - before, total, len(people), flush=True)
    sys.stdin.read()  # until the first process closes it


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plan_of(folder: str, count: int) -> Plan:
    """A plan of the roster in a folder."""
    store = LocalStore(folder)
    digests = {name: store.sha256(name) for name in (layout.ROSTER, layout.EMBEDDINGS)}
    return Plan(REQUEST, digests, cut_units(columns(min(count, 10)), 10))


def second_process_mb(folder: str, count: int, as_objects: bool) -> float:
    """Private memory that a second process takes for a roster that a first one holds."""
    command = [sys.executable, "-m", __spec__.name, "--hold", folder]
    command += ["--identities", str(count), *(["--objects"] if as_objects else [])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holders = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for holder in holders:
        say(holder)
        assert holder.stdout.readline() == "open\n"
    say(holders[1])
    answer = float(holders[1].stdout.readline().split()[0])
    for holder in holders:
        holder.terminate()
        holder.wait()
    return answer


def say(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def in_another_process(arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--identities", type=int, default=500_000)
    parser.add_argument("--dim", type=int, default=512)
    for name in ("--write", "--read", "--hold"):
        parser.add_argument(name)
    parser.add_argument("--objects", action="store_true")
    given = parser.parse_args()
    if given.write:
        print(json.dumps(write(given.write, given.identities, given.dim, given.objects)))
    elif given.read:
        print(json.dumps(read(given.read, plan_of(given.read, given.identities), given.objects)))
    elif given.hold:
        hold(given.hold, plan_of(given.hold, given.identities), given.objects)
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(compare(folder, given.identities, given.dim), indent=1))


def compare(folder: str, count: int, dim: int) -> dict[str, object]:
    result: dict[str, object] = {"identities": count, "dim": dim, "file_mb": count * dim * 4 >> 20}
    for kind in ("objects", "columns"):
        size = ["--identities", str(count), "--dim", str(dim)]
        size += ["--objects"] if kind == "objects" else []
        result[kind] = {
            "write": in_another_process(["--write", folder, *size]),
            "read": in_another_process(["--read", folder, *size]),
            "read_again": in_another_process(["--read", folder, *size]),
            "second_process_mb": second_process_mb(folder, count, kind == "objects"),
        }
    return result


if __name__ == "__main__":
    main()
