"""Ask a generator whether it knows the people that it learned from.

    python -m jobs.attack configs/generator/mini.yaml source.path=FACES \\
        source.holdout_identities=60 generator.checkpoint=runs/mini/generator
    python -m jobs.attack configs/demo.yaml source.kind=folder source.path=train112.tar \\
        source.heldout=heldout112.tar attack.num_people=60

Members are the training part of `source`, the others its held-out part: source.holdout_identities
as in the training, or source.heldout. The figures land in metrics/attack.json of the release that
CONFIG names where it is sealed, and in its card; jobs.evaluate puts them into its report. Without
one they are written to attack.out.
"""

from __future__ import annotations

from dataclasses import replace

from factory.config import Config
from jobs._job import Job
from jobs._sections import SEALED

FILE = "attack.json"


def attack(config: Config, dry_run: bool) -> None:
    from factory.evaluation.attack import attack as measure
    from factory.evaluation.attack import check
    from factory.evaluation.metrics.json_form import to_json
    from factory.planning.preflight import check_weights
    from factory.report.attack import lines
    from factory.report.attacked_release import add_attack, attacked_release
    from factory.shards.manifest import put_json
    from factory.store import open_store

    sides = check(config)
    release = attacked_release(config, check_weights(config).weights["generator"])
    beside = open_store(replace(config.store, url=config.attack.out))
    beside.preflight(1, 0)
    if dry_run:
        print("checked; nothing is written")
        return
    found = measure(config, sides, release.virtual_VD if release else None)
    if release:
        add_attack(config, release, found)
    else:
        put_json(beside, FILE, to_json(found))
    print(*lines(found), sep="\n")
    print("wrote", f"{release.store.url}/metrics/{FILE}" if release else f"{beside.url}/{FILE}")


JOB = Job(__doc__, attack, reads=(*SEALED, "compute", "store", "attack"))

if __name__ == "__main__":
    JOB.main()
