"""List or delete what crashed processes left in a release.

    python -m jobs.gc s3://bucket/prefix/demo/releases/0.1.0 [--older-than-hours 24] [--delete]

Unfinished uploads, temporary files, and files of units that were never committed.
"""

from __future__ import annotations

import time

from jobs._arguments import RELEASE_ADDRESS, flag, option
from jobs._job import Job


def collect(release: str, store: list[str], older_than_hours: float, delete: bool) -> None:
    from factory.shards.garbage import find, remove
    from factory.store import open_url

    opened = open_url(release, store)
    garbage = find(opened, older_than_hours * 3600, time.time())
    for item in garbage:
        hours = (time.time() - item.entry.modified_at) / 3600
        print(f"{item.entry.name}  {item.reason}, {item.entry.size} bytes, {hours:.1f} h old")
    if delete:
        garbage = remove(opened, garbage)
    outcome = "removed" if delete else "found; --delete removes them"
    print(f"{release}: {len(garbage)} leftovers older than {older_than_hours:g} h {outcome}")


OLDER = option("--older-than-hours", "leave younger ones alone", "HOURS", float, 24)
DELETE = flag("--delete", "remove them; without it they are only listed")
JOB = Job(
    __doc__,
    collect,
    subjects=(RELEASE_ADDRESS,),
    load=None,
    at_address=True,
    options=(OLDER, DELETE),
)

if __name__ == "__main__":
    JOB.main()
