"""Re-read every byte of a sealed release against its digests.

python -m jobs.verify runs/releases/demo/releases/0.1.0
python -m jobs.verify s3://bucket/prefix/demo/releases/0.1.0
"""

from __future__ import annotations

import sys

from jobs._command import guarded, parser_of


def verify(url: str) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.verify import verify as verify_release
    from factory.store import open_url

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        count = 0

        def on_file(done: int, total: int) -> None:
            nonlocal count
            count = done
            bar.update(task, completed=done, total=total)

        problems = verify_release(open_url(url), on_file)
    for problem in problems:
        print("wrong:", problem)
    if problems:
        sys.exit(f"error: {url} is not what was published ({len(problems)} problems)")
    print(f"{url}: {count} files have their sha256, the release is whole")


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("release", help="folder or s3:// address of a sealed release")
    arguments = parser.parse_args()
    guarded(lambda: verify(arguments.release))
