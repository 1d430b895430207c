"""Compare proposals of virtual people: how like themselves, how far apart.

    python -m jobs.compare_proposals configs/compare_proposals.yaml [section.key=value ...]

Each proposal has identities.num_virtual people, admitted by one gate (identities.max_cosine), and
plan.images_per_identity images of each, drawn by UniPC with 12 calls and guidance 1.5 from the same
noise. With recognizer.prototypes.steps the prototypes after that stage are a row too; the rest of
section recognizer must then be the recipe of recognizer.checkpoint. Prints a table; nothing is
written.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import RELEASE


def compare_proposals(config: Config, dry_run: bool) -> None:
    from factory.recognition.prototype_stage import check_stage
    from factory.studies.proposals import check, compare, lines

    check_stage(config)
    check(config)
    if dry_run:
        print("checked; nothing is drawn")
        return
    print("\n".join(lines(compare(config))))


JOB = Job(__doc__, compare_proposals, reads=(*RELEASE, "training", "batches"))

if __name__ == "__main__":
    JOB.main()
