"""Two processes on one store in memory, cut at chosen steps: each is paused or killed there.

A step is a request to the store, or a wait. The first process runs until the first cut, then the
other until the second, and so on; who ends leaves the stage to the other. Waiting moves the clock,
so a process that is paused for long loses its lock, as on a machine that hangs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from factory.errors import Conflict

Cut = tuple[int, bool]
"""(steps of both processes before it, whether the one on stage is killed there or only paused)."""


class Killed(BaseException):
    """The process is no more: not even its `finally` reaches the store."""


class Stage:
    """Whose turn it is."""

    def __init__(self, contents: dict[str, bytes], cuts: Sequence[Cut]) -> None:
        self.contents, self.cuts = contents, list(cuts)
        self.clock, self.steps = 0.0, 0
        self.errors: list[BaseException] = []
        self.killed: set[int] = set()
        self._gates = [threading.Semaphore(0), threading.Semaphore(0)]
        self._ended: set[int] = set()

    def run(self, *acts: Callable[[MemoryStore], object]) -> None:
        """Run both to their ends."""
        processes = [
            threading.Thread(target=self._live, args=(me, act), name=str(me))
            for me, act in enumerate(acts)
        ]
        for process in processes:
            process.start()
        self._gates[0].release()
        for process in processes:
            process.join()

    def _live(self, me: int, act: Callable[[MemoryStore], object]) -> None:
        self._gates[me].acquire()
        try:
            act(MemoryStore(self))
        except Killed:
            pass
        except Exception as error:  # because the test looks at it
            self.errors.append(error)
        finally:
            self._ended.add(me)
            if 1 - me not in self._ended:
                self._gates[1 - me].release()

    def step(self) -> None:
        """Before a request: this process may be paused or killed here."""
        me = threading.current_thread().name
        if me not in ("0", "1"):  # nobody races with the main thread
            return
        number = int(me)
        self.steps += 1
        if self.cuts and self.steps >= self.cuts[0][0] and number not in self.killed:
            _, kill = self.cuts.pop(0)
            if kill:
                self.killed.add(number)
            elif 1 - number not in self._ended:
                self._gates[1 - number].release()
                self._gates[number].acquire()
        if number in self.killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        self.step()
        self.clock += 60 * seconds  # so that tests are short

    def monotonic(self) -> float:
        return self.clock


class MemoryStore:
    """A store in memory; each request is one step."""

    num_retries, url = 0, "memory"

    def __init__(self, stage: Stage) -> None:
        self._stage, self._contents = stage, stage.contents

    def get(self, name: str) -> bytes:
        self._stage.step()
        if name not in self._contents:
            raise FileNotFoundError(name)
        return self._contents[name]

    def size(self, name: str) -> int | None:
        self._stage.step()
        return len(self._contents[name]) if name in self._contents else None

    def exists(self, name: str) -> bool:
        return self.size(name) is not None

    def put(self, name: str, data: bytes) -> None:
        self._stage.step()
        self._contents[name] = data

    def put_once(self, name: str, data: bytes, sha256: str | None = None) -> bool:
        self._stage.step()
        if name not in self._contents:
            self._contents[name] = data
            return True
        self._stage.step()  # because a bucket is asked again for what is there
        if self._contents.get(name) == data:
            return False
        raise Conflict(name)

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        self._stage.step()
        if self._contents.get(name) != expected:
            return False
        self._contents[name] = data
        return True

    def delete(self, name: str) -> None:
        self._stage.step()
        with suppress(KeyError):
            del self._contents[name]

    def delete_if(self, name: str, expected: bytes) -> bool:
        self._stage.step()
        return self._contents.get(name) == expected and self._contents.pop(name) == expected

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.get(name)).hexdigest()
