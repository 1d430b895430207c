"""List or delete what crashed processes left in a release.

    python -m jobs.gc s3://bucket/prefix/demo/releases/0.1.0 [--older-than-hours 24] [--delete]
    python -m jobs.gc s3://bucket/prefix/demo/releases/0.1.0 --uncommit 17

Unfinished uploads, temporary files, files of units that were never committed (a unit that is being
made is made whole again), and what lies beside a release: of a measurement that was cut off, or of
the real people of one that is done. --uncommit gives up a unit whose files are lost.
"""

from __future__ import annotations

import time

from jobs._arguments import RELEASE_ADDRESS, flag, option
from jobs._job import Job


def collect(
    release: str, store: list[str], older_than_hours: float, delete: bool, uncommit: int | None
) -> None:
    from factory.shards import garbage as room
    from factory.shards.layout import measurements_url, private_store
    from factory.store import open_url

    opened = open_url(release, store)
    if uncommit is not None:
        lost = room.uncommit(opened, uncommit)
        print(f"{release}: unit {uncommit} is no longer committed, because of {', '.join(lost)}")
        return
    scratch, now = open_url(measurements_url(release), store), time.time()
    found = [
        (opened, room.find(opened, older_than_hours * 3600, now)),
        (scratch, room.find_measurements(scratch, older_than_hours * 3600, now)),
        (private_store(opened), room.find_private(opened, older_than_hours * 3600, now)),
    ]
    count = 0
    for place, garbage in found:
        for item in garbage:
            age = f"{(now - item.entry.modified_at) / 3600:.1f} h old"
            print(f"{place.url}/{item.entry.name}  {item.reason}, {item.entry.size} bytes, {age}")
        count += len(room.remove(place, garbage) if delete else garbage)
    outcome = "removed" if delete else "found; --delete removes them"
    print(f"{release}: {count} leftovers older than {older_than_hours:g} h {outcome}")


OLDER = option("--older-than-hours", "leave younger ones alone", "HOURS", float, 24)
DELETE = flag("--delete", "remove them; without it they are only listed")
UNCOMMIT = option("--uncommit", "take back the commit of a unit whose files are lost", "UNIT", int)
JOB = Job(
    __doc__,
    collect,
    subjects=(RELEASE_ADDRESS,),
    load=None,
    at_address=True,
    options=(OLDER, DELETE, UNCOMMIT),
)

if __name__ == "__main__":
    JOB.main()
