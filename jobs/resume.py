"""Take back the pause of a release.

    python -m jobs.resume s3://bucket/prefix/demo/releases/0.1.0

Nothing is started: give the release's own command again to go on.
"""

from __future__ import annotations

from jobs._arguments import RELEASE_ADDRESS
from jobs._job import Job


def resume(release: str, store: list[str]) -> None:
    from factory.shards import pause
    from factory.store import open_url

    paused = pause.resume(open_url(release, store))
    print(f"{release}: {'may go on; run its command again' if paused else 'was not paused'}")


JOB = Job(__doc__, resume, subjects=(RELEASE_ADDRESS,), load=None, at_address=True)

if __name__ == "__main__":
    JOB.main()
