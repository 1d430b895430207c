"""Make, resume or finish the release a config describes.

    python -m jobs.release configs/demo.yaml [section.key=value ...] [--dry-run]
    python -m jobs.submit configs/demo.yaml store.url=s3://bucket/prefix

The same command goes on where it stopped. `python -m jobs.plan` tells what it would take.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import RELEASE


def release(config: Config, dry_run: bool) -> None:
    from factory.release import build

    if config.fleet.runner == "inline":
        from factory.execution.inline import run_units

        build(config, run_units, dry_run=dry_run)
    else:
        from cluster.fleet import run_units
        from cluster.gallery import open_galleries
        from cluster.planning import on_device_of

        build(
            config,
            run_units,
            open_galleries=open_galleries,
            on_device=on_device_of(config),
            dry_run=dry_run,
        )


JOB = Job(__doc__, release, reads=RELEASE)

if __name__ == "__main__":
    JOB.main()
