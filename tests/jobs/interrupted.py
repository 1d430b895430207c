"""A job that gets a signal when its first shard is committed: SIGNAL NAME ARGUMENT ..."""

from __future__ import annotations

import os
import sys

from factory.execution.progress_bar import ProgressBar
from factory.records import Shard
from jobs._catalog import find


def main(number: str, name: str, *words: str) -> None:
    """Run the job `name`; signal `number` is sent by the process to itself."""
    plain = ProgressBar.shard_done

    def shard_done(bar: ProgressBar, shard: Shard) -> None:
        ProgressBar.shard_done = plain
        plain(bar, shard)
        os.kill(os.getpid(), int(number))

    ProgressBar.shard_done = shard_done
    find(name).main(words)


if __name__ == "__main__":
    main(*sys.argv[1:])
