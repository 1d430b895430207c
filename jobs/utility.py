"""Measure what recognizers learn from a release, from real faces, from both.

    python -m jobs.utility runs/releases/demo/releases/0.1.0 configs/utility/mini.yaml \\
        source.path=FACES "utility.benchmarks[0].pairs=lfw.bin"

Recipe, source, benchmarks and seeds are those of the config. The same command goes on where it
stopped, and with compute.num_ranks each training runs on a gang of Ray actors. The figures land in
metrics/utility.json of the release; jobs.evaluate puts them into its report.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from factory.config import Config
from jobs._arguments import RELEASE_ADDRESS
from jobs._job import Job
from jobs._sections import TRAINING
from jobs._training import run_training


def utility(release: str, config: Config, dry_run: bool) -> None:
    from factory.evaluation.metrics.json_form import to_json
    from factory.recognition.train import check, train
    from factory.report.utility import lines
    from factory.shards import layout, manifest
    from factory.shards.reader import local_copy
    from factory.store import open_store
    from factory.store.atomic import check_place
    from factory.studies.utility import utility as measure

    store = open_store(replace(config.store, url=release))
    plan = manifest.sealed_plan(store)
    check(config)
    check_place("utility.out", Path(config.utility.out))
    if dry_run:
        print("checked; nothing is written")
        return
    folder = local_copy(store, plan, f"{config.utility.out}/releases")
    measured = measure(config, folder, lambda one: run_training(train, one), print)
    manifest.put_metrics(store, {layout.UTILITY: to_json(measured)})
    manifest.seal_extras(store)
    print(*lines(measured), sep="\n")


JOB = Job(
    __doc__,
    utility,
    subjects=(RELEASE_ADDRESS,),
    reads=(*TRAINING, "batches", "recognizer", "utility"),
)

if __name__ == "__main__":
    JOB.main()
