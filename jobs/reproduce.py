"""Make one published image again from its metadata row, and compare its sha256.

python -m jobs.reproduce configs/demo.yaml 000012_0003 [section.key=value ...] [--out again.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path

from factory.config import Config, load
from jobs._command import guarded, parser_of


def reproduce(config: Config, key: str, out: str | None) -> None:
    from factory.shards import layout
    from factory.store import open_store
    from factory.synthesis.reproduce import reproduce as make_again

    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    made = make_again(config, open_store(config.store).below(prefix), key)
    if out:
        Path(out).write_bytes(made.encoded)
    if not made.as_recorded:
        sys.exit(f"error: {key}: the published image does not have the sha256 of its metadata row")
    for remark in made.remarks:
        print(f"its shard: {remark}")
    if made.machine_differs:
        print(f"this machine is not the plan's ({made.machine_differs}); bytes may differ")
    if made.equal:
        print(f"{key}: sha256 {made.sha256_recorded[:16]}... again, byte for byte")
        return
    print(f"{key}: other bytes; largest difference of a value {made.largest_difference} of 255")
    if not made.machine_differs and not made.remarks:
        sys.exit("error: the plan's own machine gave other bytes; the release was altered")


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("config", help="the release's YAML file")
    parser.add_argument("key", help="key of a kept face, as in metadata/*.parquet")
    parser.add_argument("dotlist", nargs="*", metavar="section.key=value")
    parser.add_argument("--out", metavar="FILE", help="write the image")
    given = parser.parse_args()
    guarded(lambda: reproduce(load(given.config, given.dotlist), given.key, given.out))
