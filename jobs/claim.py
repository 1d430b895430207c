"""Test whether published findings hold at small scale.

    python -m jobs.claim configs/claims/packing.yaml
    python -m jobs.claim configs/claims/*.yaml inputs.faces=FACES [out=runs/claims]

One file is one finding. Makes the releases and trainings of all arms and seeds, goes on where it
stopped, prints the verdict by the rule in factory/studies/claims.py, and writes it to
OUT/CLAIM.json. A finding that cannot be tested yet is "not yet".
"""

from __future__ import annotations

from pathlib import Path

from factory.config import ClaimConfig, Config, load, load_claim
from factory.store.json_text import json_text
from jobs._job import Job
from jobs._training import run_training
from jobs.release import release


def build(config: Config) -> Path:
    """Make a release in a folder of the claim's own, and return its folder."""
    from factory.shards import layout

    release(config, False)
    return Path(
        config.store.url, layout.release_prefix(config.release.dataset, config.release.version)
    )


def claim(config: dict[str, ClaimConfig], dry_run: bool) -> None:
    from factory.recognition.train import train
    from factory.store.atomic import check_place, write_atomically
    from factory.studies.claims import examine, result_json, verdict_line

    arms = [arm for finding in config.values() for arm in finding.arms.values()]
    for arm in arms:
        load(arm.config, arm.set)
        if arm.release:
            load(arm.release, arm.release_set)
    if dry_run:
        print(f"checked the configs of {len(arms)} arms; nothing is written")
        return
    for finding in config.values():
        check_place("out", Path(finding.out))
    for name, finding in config.items():
        result = examine(name, finding, lambda one: run_training(train, one), build, print)
        text = json_text(result_json(result), indent=1) + "\n"
        write_atomically(Path(finding.out) / f"{name}.json", text.encode(), "out")
        print(verdict_line(result))


JOB = Job(__doc__, claim, load=load_claim, many=True)


if __name__ == "__main__":
    JOB.main()
