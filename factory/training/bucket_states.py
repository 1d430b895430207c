"""States of a training in a bucket: no folder that nodes share is needed.

    <training.out>/resume/step-00000120-1f3a90c2/engine.pt ...  files of a state, by all its ranks
    <training.out>/resume/step-00000120-1f3a90c2/part-00003.json  rank 3's files with their sha256
    <training.out>/resume/latest        the last whole state: all its files with their sha256
    <training.out>/history.jsonl checkpoint.json weights.safetensors sheets/ ...  results

A state's name ends in the number of the gang that made it, so two gangs never write one object. A
rank's part is there once its part-N.json is; `latest` moves by compare-and-set from the state that
this gang began with or wrote last, and only when the parts of all ranks are there. A second gang
that goes on from the same state loses at its first save. Older states are deleted after that.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.errors import CheckpointError, StoreError
from factory.records import Log
from factory.store import Store
from factory.training.distributed import first_rank_gives, rank, wait_for_all, world_size
from factory.training.local_space import WorkingFolder, fetch_into, local_copy, write_errors

LATEST = "resume/latest"
HISTORY = "history.jsonl"
MAX_PUT_BYTES = 5_000_000_000
"""What S3 takes in one request; larger results are created by parts, after the old one is gone."""


class BucketStates:
    """Saves and finds states in a store; every rank has one."""

    def __init__(self, store: Store, log: Log) -> None:
        """Read `latest`; raises StoreError for a store without conditional writes."""
        self._store, self._log = store, log
        self._working = WorkingFolder()
        self.out = self._working.path / "out"
        """Folder of this process, for results until they are published."""
        self.out.mkdir()
        self._published: dict[Path, tuple[int, int]] = {}
        self._copy: Path | None = None
        mine: tuple[str, bytes | None] = ("", None)
        if rank() == 0:
            store.preflight(0, 0)
            mine = secrets.token_hex(4), _bytes_of(store, LATEST)
            if mine[1] is None:
                store.probe()
        self._gang, self._latest = first_rank_gives(mine)

    def latest(self, wanted: Callable[[str], bool]) -> Path | None:
        """A local copy of the last whole state, or None: the files whose names are `wanted`.

        progress.json is always among them. Raises CheckpointError for a state that is not whole.
        """
        if self._latest is None:
            return None
        self._copy = self._fetched(lambda name: name in ("progress.json", HISTORY) or wanted(name))
        if rank() == 0 and (self._copy / HISTORY).is_file():
            shutil.copy(self._copy / HISTORY, self.out / HISTORY)
        return self._copy

    def whole(self) -> Path:
        """A local copy of the last state with the parts of all ranks."""
        self._copy = self._fetched(lambda name: True)
        return self._copy

    def loaded(self) -> None:
        """Give up the copy of the state that was resumed from; every rank calls it."""
        wait_for_all()  # because the ranks of a node share it
        self._drop_copy()

    def save(
        self, step: int, write: Callable[[Path], None], progress: Callable[[], dict[str, Any]]
    ) -> None:
        """Put every rank's part of a state, then make it the last one.

        Raises CheckpointError on all ranks when a part is missing, or another gang has gone on.
        """
        name = f"step-{step:08d}-{self._gang}"
        folder, files = self._working.path / name, dict[str, str]()
        with write_errors(folder):
            folder.mkdir()
            write(folder)
            if rank() == 0:
                (folder / "progress.json").write_text(json.dumps(progress(), allow_nan=False))
                if (self.out / HISTORY).is_file():
                    shutil.copy(self.out / HISTORY, folder / HISTORY)
        for file in sorted(folder.iterdir()):
            content = file.read_bytes()
            files[file.name] = hashlib.sha256(content).hexdigest()
            self._store.put_once(f"resume/{name}/{file.name}", content, files[file.name])
        shutil.rmtree(folder)
        part = json.dumps({"files": files, "node": socket.gethostname()}, allow_nan=False).encode()
        self._store.put_once(f"resume/{name}/{part_name(rank())}", part)
        wait_for_all()
        error = first_rank_gives(self._move(name, step) if rank() == 0 else "")
        if error:
            raise CheckpointError(f"training.out: {self._store.url}: {error}")
        self._publish()

    def finish(self) -> None:
        """Put the results into the bucket (rank 0 does) and give up the copy of the state."""
        self._publish()
        self._drop_copy()

    def _drop_copy(self) -> None:
        if self._copy:
            shutil.rmtree(self._copy, ignore_errors=True)
            self._copy = None

    def _publish(self) -> None:
        """Put what is new in `out`, checkpoint.json last."""
        if rank() != 0:
            return
        files = [file for file in self.out.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file.name == "checkpoint.json", file)):
            status = file.stat()
            version = (status.st_mtime_ns, status.st_size)
            if self._published.get(file) != version:
                self._replace(file.relative_to(self.out).as_posix(), file.read_bytes())
                self._published[file] = version

    def _move(self, name: str, step: int) -> str:
        """Make a state the last one and delete the older ones; what is wrong instead, or ''."""
        before, files = self._store.list("resume/"), dict[str, str]()
        for number in range(world_size()):
            part = _bytes_of(self._store, f"resume/{name}/{part_name(number)}")
            if part is None:
                return f"the part of rank {number} of {name} is missing; run again to go on"
            files |= json.loads(part)["files"]
        missing = sorted({f"resume/{name}/{file}" for file in files} - set(before))
        if missing:
            return f"{missing[0]} is missing; find out who deletes there, then run again"
        record = {"state": name, "step": step, "ranks": world_size(), "files": files}
        record |= {"gang": self._gang, "node": socket.gethostname()}
        content = json.dumps(record, sort_keys=True, allow_nan=False).encode()
        if not self._store.swap(LATEST, self._latest, content):
            return self._overtaken()
        self._latest = content
        old = [file for file in before if not file.startswith((LATEST, f"resume/{name}/"))]
        try:
            for file in old:  # none that was written since, because its writer may have gone on
                self._store.delete(file)
        except StoreError as error:
            self._log(f"an older state stays in {self._store.url}/resume ({error})")
        return ""

    def _overtaken(self) -> str:
        now = _bytes_of(self._store, LATEST)
        found = json.loads(now) if now else {"state": "nothing", "node": "an unknown one"}
        return (
            f"another gang, on node {found['node']}, trains here too and is at {found['state']}; "
            "this one stops: let one go on, or give this one another training.out"
        )

    def _fetched(self, wanted: Callable[[str], bool]) -> Path:
        assert self._latest is not None, "a training saves at its end"
        record = json.loads(self._latest)
        state = self._store.below(f"resume/{record['state']}")
        folder = local_copy(state.url)
        for name, sha256 in sorted(record["files"].items()):
            if wanted(name):
                fetch_into(folder, state, name, sha256)
        return folder

    def _replace(self, name: str, content: bytes) -> None:
        if len(content) < MAX_PUT_BYTES:
            self._store.put(name, content)
        else:
            self._store.delete(name)
            self._store.put_once(name, content)


def latest_in_bucket(store: Store) -> str | None:
    """Name of the last whole state of a training, or None."""
    content = _bytes_of(store, LATEST)
    return str(json.loads(content)["state"]) if content else None


def part_name(number: int) -> str:
    """The object that says which files a rank has put."""
    return f"part-{number:05d}.json"


def _bytes_of(store: Store, name: str) -> bytes | None:
    try:
        return store.get(name)
    except FileNotFoundError:
        return None
