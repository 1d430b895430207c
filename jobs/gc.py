"""List what dead writers left in a release: unfinished uploads, temporary files, orphan units.

python -m jobs.gc s3://bucket/prefix/demo/releases/0.1.0 [--older-than-hours 24] [--delete]
"""

from __future__ import annotations

import time

from jobs._command import guarded, parser_of


def collect(url: str, older_than_hours: float, *, delete: bool) -> None:
    from factory.shards.garbage import find, remove
    from factory.store import open_url

    store = open_url(url)
    garbage = find(store, older_than_hours * 3600, time.time())
    for item in garbage:
        hours = (time.time() - item.entry.modified_at) / 3600
        print(f"{item.entry.name}  {item.reason}, {item.entry.size} bytes, {hours:.1f} h old")
    if delete:
        garbage = remove(store, garbage)
    done = "removed" if delete else "found; --delete removes them"
    print(f"{url}: {len(garbage)} leftovers older than {older_than_hours:g} h {done}")


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("release", help="folder or s3:// address of a release")
    parser.add_argument("--older-than-hours", type=float, default=24.0)
    parser.add_argument("--delete", action="store_true", help="remove them; default: only list")
    arguments = parser.parse_args()
    guarded(lambda: collect(arguments.release, arguments.older_than_hours, delete=arguments.delete))
