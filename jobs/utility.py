"""What a release teaches: train on it, on the config's source, and on both; verify all alike.

    python -m jobs.utility runs/releases/demo/releases/0.1.0 configs/utility/mini.yaml

Recipe, source, benchmarks and seeds are those of the config. The same command goes on where it
stopped, and with compute.num_ranks each training runs on a gang of Ray actors. The figures land in
metrics/utility.json of the release; jobs.evaluate puts them into its report.
"""

from __future__ import annotations

from dataclasses import replace

from factory.config import Config
from jobs._command import run_on_release
from jobs._training import train_where_asked


def utility(url: str, config: Config, dry_run: bool) -> None:
    from factory.evaluation.metrics.json_form import to_json
    from factory.recognition.train import check, train
    from factory.report.utility import lines
    from factory.shards import layout, manifest
    from factory.shards.reader import local_copy
    from factory.store import open_store
    from factory.studies.utility import utility as measure

    store = open_store(replace(config.store, url=url))
    plan = manifest.sealed_plan(store)
    check(config)
    if dry_run:
        return
    release = local_copy(store, plan, f"{config.utility.out}/releases")
    measured = measure(config, release, lambda asked: train_where_asked(train, asked), print)
    manifest.put_metrics(store, {layout.UTILITY: to_json(measured)})
    manifest.seal_extras(store)
    print(*lines(measured), sep="\n")


if __name__ == "__main__":
    run_on_release(__doc__ or "", utility)
