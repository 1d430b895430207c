"""Re-read every byte of a sealed release against its digests.

    python -m jobs.verify runs/releases/demo/releases/0.1.0
    python -m jobs.verify s3://bucket/prefix/demo/releases/0.1.0 store.endpoint_url=http://...
    python -m jobs.verify s3://bucket/prefix/demo/releases/0.1.0 --fleet

It exits with 1 and names the files that are wrong.
"""

from __future__ import annotations

import sys

from jobs._arguments import RELEASE_ADDRESS
from jobs._job import Job
from jobs._runners import FLEET, on_fleet


def verify(release: str, store: list[str], fleet: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.verify import verify as verify_release
    from factory.store import open_url

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        problems = verify_release(
            open_url(release, store),
            lambda done, total: bar.update(task, completed=done, total=total),
            **on_fleet(release, store, fleet),
        )
    for problem in problems:
        print("wrong:", problem)
    if problems:
        sys.exit(f"error: {release} is not what was published ({len(problems)} problems)")
    print(f"{release}: all files have their sha256, the release is whole")


JOB = Job(
    __doc__, verify, subjects=(RELEASE_ADDRESS,), load=None, at_address=True, options=(FLEET,)
)

if __name__ == "__main__":
    JOB.main()
