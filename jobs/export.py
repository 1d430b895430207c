"""Export a sealed release as an image folder, MXNet .rec or parquet.

    python -m jobs.export runs/releases/demo/releases/0.1.0 imagefolder out/demo
    python -m jobs.export s3://bucket/prefix/demo/releases/0.1.0 rec out/demo_rec
    python -m jobs.export runs/releases/demo/releases/0.1.0 parquet out/demo_parquet

Parquet is written as the hub reads it, and .rec with the `property` that insightface wants. Card,
LICENSE, NOTICE, lineage, croissant.json and SHA256SUMS go along. With --fleet the units of a folder
or of parquet are written on the actors of a Ray cluster, to a folder that all machines see.
"""

from __future__ import annotations

from pathlib import Path

from jobs._arguments import RELEASE_ADDRESS, Argument
from jobs._job import Job
from jobs._runners import FLEET, on_fleet


def export(release: str, store: list[str], format: str, out: str, fleet: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.export import export as export_release
    from factory.store import open_url

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("writing", total=None)
        count = export_release(
            open_url(release, store),
            format,
            Path(out),
            lambda done, total: bar.update(task, completed=done, total=total),
            **on_fleet(release, store, fleet),
        )
    print(f"{out}: {count} images, read back with the release's labels and digests")


FORMAT = Argument("format", "what to write", choices=("imagefolder", "rec", "parquet"))
OUT = Argument("out", "folder to write to; the same command goes on where it stopped")
SUBJECTS = (RELEASE_ADDRESS, FORMAT, OUT)
JOB = Job(__doc__, export, subjects=SUBJECTS, load=None, at_address=True, options=(FLEET,))

if __name__ == "__main__":
    JOB.main()
