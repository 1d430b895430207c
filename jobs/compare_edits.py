"""Recognizers trained on originals, and with classic, painted and redrawn copies, side by side.

    python -m jobs.compare_edits configs/editing/compare.yaml [section.key=value ...]

Makes a release for each editor and each of comparison.edits_per_image, trains a recognizer on each with each
of utility.seeds, and tests all on clean and on occluded faces; what is made already is found again.
The figures go to <store>/<dataset>-comparison/edits-<version>.json. On several nodes utility.out,
where the originals that are learned from are written, must be a folder that all see.
"""

from __future__ import annotations

import functools

from factory.config import Config
from jobs._command import run
from jobs._runners import runner_of
from jobs._training import train_where_asked


def compare_edits(config: Config, dry_run: bool) -> None:
    from factory.recognition.train import train
    from factory.studies.occlusion import check, compare, lines

    check(config)
    if dry_run:
        rows = 1 + 3 * len(config.comparison.edits_per_image)
        print(f"checked; {rows} sets would be learned with {len(config.utility.seeds)} seeds each")
        return
    train_one = functools.partial(train_where_asked, train)
    print("\n".join(lines(compare(config, runner_of(config), train_one))))


if __name__ == "__main__":
    run(__doc__ or "", compare_edits)
