"""Make, resume or finish the release a config describes.

python -m jobs.release configs/demo.yaml [section.key=value ...] [--dry-run]
ray job submit -- python -m jobs.release configs/demo.yaml
"""

from __future__ import annotations

from factory.config import Config
from jobs._command import run


def release(config: Config, dry_run: bool) -> None:
    from factory.release import build

    if config.fleet.runner == "inline":
        from factory.execution.inline import run_units

        build(config, run_units, dry_run=dry_run)
    else:
        from cluster.fleet import run_units
        from cluster.gallery import open_galleries

        build(config, run_units, open_galleries=open_galleries, dry_run=dry_run)


if __name__ == "__main__":
    run(__doc__ or "", release)
