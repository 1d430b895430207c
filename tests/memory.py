"""How much memory this process has had at most."""

from __future__ import annotations

import re
from pathlib import Path


def peak_bytes() -> int:
    """Largest resident memory of this program so far, bytes (VmHWM of /proc, Linux).

    getrusage's ru_maxrss is no stand-in: a child begins with that of the process that forked it, so
    under a large pytest every small child would seem large.
    """
    kilobytes = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert kilobytes, "/proc/self/status has no VmHWM"
    return 1024 * int(kilobytes[1])
