"""Pause a release: shards in hand are finished, no further one is begun.

    python -m jobs.pause s3://bucket/prefix/demo/releases/0.1.0 [--reason "the week's budget"]

It is noted in the store, so it works from anywhere. The driver ends, and none starts again before
`python -m jobs.resume`.
"""

from __future__ import annotations

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job


def pause(release: str, store: list[str], reason: str) -> None:
    from factory.shards import pause
    from factory.store import open_url

    paused = pause.pause(open_url(release, store), reason)
    print(f"{release}: paused since {paused.since}; python -m jobs.resume takes it back")


REASON = option("--reason", "why, for whoever meets it", "TEXT", default="")
JOB = Job(
    __doc__, pause, subjects=(RELEASE_ADDRESS,), load=None, at_address=True, options=(REASON,)
)

if __name__ == "__main__":
    JOB.main()
