"""Compare recognizers trained with classic, painted and redrawn copies.

    python -m jobs.compare_edits configs/editing/compare.yaml [section.key=value ...]

Makes a release for each editing method and each of comparison.edits_per_image, trains a recognizer
on each with each of utility.seeds, and tests all on clean and on occluded faces; what is made
already is found again. The figures go to <store>/<dataset>-comparison/edits-<version>.json. On
several nodes utility.out, where the originals that are learned from are written, must be a folder
that all see.
"""

from __future__ import annotations

import functools

from factory.config import Config
from jobs._job import Job
from jobs._runners import on_device_of, runner_of
from jobs._sections import RELEASE
from jobs._training import run_training


def compare_edits(config: Config, dry_run: bool) -> None:
    from factory.recognition.train import train
    from factory.studies.occlusion import check, compare, lines

    check(config)
    if dry_run:
        rows = 1 + 3 * len(config.comparison.edits_per_image)
        print(f"checked; {rows} sets would be learned with {len(config.utility.seeds)} seeds each")
        return
    train_one = functools.partial(run_training, train)
    table = compare(config, runner_of(config), train_one, on_device=on_device_of(config))
    print("\n".join(lines(table)))


JOB = Job(__doc__, compare_edits, reads=(*RELEASE, "comparison", "batches", "utility"))

if __name__ == "__main__":
    JOB.main()
