"""A sealed release for other trainers: an image folder, MXNet .rec, or parquet as the hub reads it.

python -m jobs.export runs/releases/demo/releases/0.1.0 imagefolder out/demo
python -m jobs.export s3://bucket/prefix/demo/releases/0.1.0 rec out/demo_rec
python -m jobs.export runs/releases/demo/releases/0.1.0 parquet out/demo_parquet
"""

from __future__ import annotations

from pathlib import Path

from jobs._command import guarded, parser_of

KINDS = ("imagefolder", "rec", "parquet")


def export(url: str, kind: str, out: str) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.export import export as export_release
    from factory.store import open_url

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("writing", total=None)
        count = export_release(
            open_url(url),
            kind,
            Path(out),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(f"{out}: {count} images, read back with the release's labels and digests")


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("release", help="folder or s3:// address of a sealed release")
    parser.add_argument("format", choices=KINDS)
    parser.add_argument("out", help="folder to write to; the same command goes on where it stopped")
    arguments = parser.parse_args()
    guarded(lambda: export(arguments.release, arguments.format, arguments.out))
