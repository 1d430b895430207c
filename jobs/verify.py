"""Re-read every byte of a sealed release against its digests.

python -m jobs.verify runs/releases/demo/releases/0.1.0
"""

from __future__ import annotations

import argparse
import sys

from jobs.command import guarded


def verify(path: str) -> None:
    from factory.shards.manifest import verify as verify_release
    from factory.store import open_url

    count = 0

    def progress(_: str) -> None:
        nonlocal count
        count += 1

    problems = verify_release(open_url(path), progress)
    for problem in problems:
        print("wrong:", problem)
    if problems:
        sys.exit(f"error: {path} is not what was published ({len(problems)} problems)")
    print(f"{path}: {count} files have their sha256, the release is whole")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", help="folder of a sealed release")
    arguments = parser.parse_args()
    guarded(lambda: verify(arguments.release))
