"""Make, resume or finish the release a config describes.

    python -m jobs.release configs/demo.yaml [section.key=value ...] [--dry-run]
    python -m jobs.submit configs/demo.yaml store.url=s3://bucket/prefix

    python -m jobs.release configs/demo.yaml --preview 5 [--out runs/preview]

The same command goes on where it stopped. `python -m jobs.plan` tells what it would take. With
--preview it draws the first people in this process and writes a sheet; nothing enters the store.
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from jobs._arguments import option
from jobs._job import Job
from jobs._sections import RELEASE

PREVIEW = "runs/preview"


def release(config: Config, dry_run: bool, preview: int | None = None, out: str = PREVIEW) -> None:
    if preview is not None:
        from factory.preview import preview as draw_preview

        draw_preview(config, preview, Path(out), dry_run=dry_run)
        return
    from factory.release import build

    if config.fleet.runner == "inline":
        from factory.execution.inline import run_units

        build(config, run_units, dry_run=dry_run)
    else:
        from cluster.fleet import run_units
        from cluster.gallery import open_galleries
        from cluster.planning import on_device_of

        on_device = on_device_of(config)
        build(
            config, run_units, open_galleries=open_galleries, on_device=on_device, dry_run=dry_run
        )


OPTIONS = (
    option("--preview", "draw the first N people, score them, commit nothing", "N", int),
    option("--out", "folder of a preview's index.html", "FOLDER", default=PREVIEW),
)
JOB = Job(__doc__, release, reads=RELEASE, options=OPTIONS)

if __name__ == "__main__":
    JOB.main()
