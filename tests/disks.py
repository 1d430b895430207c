"""Disks that refuse, for real: a limit on the size of files, and small or read-only filesystems."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def files_end_at(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow further: the write in the middle of it fails (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def filesystem(folder: Path, size: str, *options: str) -> Iterator[Path]:
    """An empty filesystem of a size such as 64k at a folder; PermissionError without the right."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs"]
    if os.geteuid() or subprocess.run([*mount, str(folder)], capture_output=True).returncode:
        raise PermissionError(f"{folder}: this user may not mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def files_below(folder: Path) -> list[str]:
    """Names of all files below a folder, hidden ones too."""
    return sorted(file.name for file in folder.rglob("*") if file.is_file())
