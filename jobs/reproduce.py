"""Make one published image again, and compare its sha256.

    python -m jobs.reproduce 000012_0003 configs/demo.yaml [section.key=value ...] [--out again.jpg]

The key is that of its row in metadata/*.parquet, which says how it was made. A machine that is not
like the plan's is named, and then other bytes are no fault of the release; the exit code is 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from factory.config import Config
from jobs._arguments import Argument, option
from jobs._job import Job
from jobs._sections import NETWORKS


def reproduce(key: str, config: Config, out: str | None, dry_run: bool) -> None:
    from factory.errors import OtherMachine
    from factory.shards import layout
    from factory.store.atomic import check_place, write_atomically
    from factory.synthesis.reproduce import reproduce as make_again

    if dry_run:
        print("checked; nothing is written")
        return
    if out:
        check_place("--out", Path(out).absolute().parent)
    made = make_again(config, layout.release_store(config), key)
    if out:
        write_atomically(Path(out), made.encoded, "--out")
    if not made.as_recorded:
        sys.exit(f"error: {key}: the published image does not have the sha256 of its metadata row")
    for remark in made.remarks:
        print(f"its shard: {remark}")
    if made.equal:
        print(f"{key}: sha256 {made.sha256_recorded[:16]}... again, byte for byte")
        return
    difference = f"largest difference of a value {made.largest_difference} of 255"
    if made.machine_differs:
        raise OtherMachine(
            f"{key}: another machine than the plan's made other bytes, {difference} "
            f"({made.machine_differs}); that says nothing against the release, run it on a machine "
            "like the plan's"
        )
    print(f"{key}: other bytes; {difference}")
    if not made.remarks:
        sys.exit("error: the plan's own machine gave other bytes; the release was altered")


READS = ("release", "source", *NETWORKS, "sampler", "compute", "store")
KEY = Argument("key", "key of a kept face, as in metadata/*.parquet")
OUT = option("--out", "file to write the image to", "FILE")
JOB = Job(__doc__, reproduce, subjects=(KEY,), reads=READS, options=(OUT,))

if __name__ == "__main__":
    JOB.main()
