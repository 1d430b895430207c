"""States of a training in a folder that all ranks see.

`resume/latest` names the last whole state, a folder `step-N` that every rank has written its part
of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.errors import CheckpointError
from factory.store.local import write_atomically
from factory.training.distributed import all_agree, rank, wait_for_all


class FolderStates:
    """Saves and finds states below `out`, the folder that results are written to as well."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def latest(self, wanted: Callable[[str], bool]) -> Path | None:
        """The folder of the last whole state, or None; raises CheckpointError where ranks differ.

        All files are there, whichever are `wanted`.
        """
        folder = latest_state(self.out)
        if not all_agree(int(folder.name.removeprefix("step-")) if folder else -1):
            raise CheckpointError(
                f"training.out: {self.out} is not the same folder on all ranks; want one that all "
                "nodes see"
            )
        return folder

    def whole(self) -> Path:
        """The folder of the last state with the parts of all ranks."""
        folder = latest_state(self.out)
        assert folder is not None, "a training saves at its end"
        return folder

    def loaded(self) -> None:
        """Nothing is held for a resume."""

    def save(
        self, step: int, write: Callable[[Path], None], progress: Callable[[], dict[str, Any]]
    ) -> None:
        """Let every rank write its part of a state, then make it the last one."""
        folder = self.out / "resume" / f"step-{step:08d}"
        if rank() == 0 and folder.exists():
            shutil.rmtree(folder)  # half of it, written by ranks that died
        wait_for_all()
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
        wait_for_all()
        if rank() == 0:
            write_atomically(
                folder / "progress.json", json.dumps(progress(), allow_nan=False).encode()
            )
            write_atomically(folder.parent / "latest", folder.name.encode())
            for other in folder.parent.glob("step-*"):
                if other != folder:
                    shutil.rmtree(other)

    def finish(self) -> None:
        """What is written to `out` is in its place already."""


def latest_state(out: Path) -> Path | None:
    """The folder of the last whole state of a training, or None."""
    pointer = out / "resume" / "latest"
    return pointer.parent / pointer.read_text() if pointer.is_file() else None
