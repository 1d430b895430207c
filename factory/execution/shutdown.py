"""SIGTERM drains: what is in hand is finished and committed, nothing further is begun."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shutdown_on_sigterm(log: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM has come; a second one ends the process."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping.is_set  # because only the main thread may set handlers
        return
    before = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: object) -> None:
        stopping.set()
        log("SIGTERM: finishing the shards in hand")
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield stopping.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
