"""Jobs run in this process or another, and what they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    """The command line of `python -m ...`, without warnings of libraries."""
    return [sys.executable, "-W", "ignore", "-m", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess:
    """Run `python -m ...` from the root of the repository."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=200
    )
