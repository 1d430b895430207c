"""Say by mark, sha256 and perceptual hash whether images are of a release.

    python -m jobs.ours photo.jpg runs/releases/demo/releases/0.1.0
    python -m jobs.ours downloads/ photo.png s3://bucket/prefix/demo/releases/0.1.0

IMAGE is a file or a folder of them. It prints what each image says of itself and what it is found
to be; the exit code is 0 when every image was found, and 1 when one was not. Where sha256 does not
find all, every image of the releases is decoded.
"""

from __future__ import annotations

import sys
from pathlib import Path

from factory.errors import ConfigError
from jobs._arguments import STORE
from jobs._job import Job


def ours(words: list[str]) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.evaluation.image_queries import printable, read_queries
    from factory.evaluation.ours import search
    from factory.store import open_url

    settings = [word for word in words if word.startswith(STORE) and "=" in word]
    places = [word for word in words if word not in settings]
    releases = [word for word in places if "://" in word or (Path(word) / "SHA256SUMS").is_file()]
    images = [Path(word) for word in places if word not in releases]
    if not images or not releases:
        raise ConfigError(
            f"got {len(images)} images and {len(releases)} releases; want IMAGE ... RELEASE ..., a "
            "release is an s3:// address or a folder with SHA256SUMS"
        )
    queries, console = list(read_queries(images)), Console(stderr=True)
    matches = {query.name: list[str]() for query in queries}
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        for release in releases:
            found = search(
                queries,
                open_url(release, settings),
                lambda done, total: bar.update(task, completed=done, total=total),
            )
            for name, match in found.items():
                matches[name].append(str(match))
    for query in queries:
        print(printable(f"{query.name}: {query.mark or 'carries no mark'}"))
        for line in matches[query.name] or [f"not found in {', '.join(releases)}"]:
            print(printable(f"{query.name}: {line}"))
    sys.exit(0 if all(matches.values()) else 1)


JOB = Job(__doc__, ours, load=None, words="IMAGE ... RELEASE ... [store.key=value ...]")

if __name__ == "__main__":
    JOB.main()
