"""Measure a sealed release, and write its metrics and report again.

    python -m jobs.evaluate runs/releases/demo/releases/0.1.0 configs/demo.yaml
    python -m jobs.evaluate s3://bucket/prefix/demo/releases/0.1.0 configs/demo.yaml \\
        features.clip=clip-vit-large-patch14-336

Card and croissant.json are written too; the data stay as they are. Source and recognizer of the
config must be those of the release; the judge may be any other. Units are measured where
fleet.runner says; the same command goes on where it stopped. The source's embeddings are kept in
audit.embeddings_dir.
"""

from __future__ import annotations

from dataclasses import replace

from factory.config import Config
from jobs._arguments import RELEASE_ADDRESS
from jobs._job import Job
from jobs._sections import SEALED


def evaluate(release: str, config: Config, dry_run: bool) -> None:
    from factory.planning.preflight import check_weights
    from factory.release import Release, evaluate_and_report
    from factory.shards import layout, manifest
    from factory.sources import open_source
    from factory.store import open_store
    from jobs._runners import runner_of

    check_weights(config)
    source, store = open_source(config.source), open_store(replace(config.store, url=release))
    plan = manifest.sealed_plan(store)
    if dry_run:
        print("checked; nothing is written")
        return
    sealed = Release(store, plan, manifest.sealed_manifest(store, plan))
    evaluate_and_report(config, source, sealed, runner_of(config), print)
    print(f"wrote {store.url}/{layout.REPORT}")


READS = (*SEALED, "fleet", "compute", "store")
JOB = Job(__doc__, evaluate, subjects=(RELEASE_ADDRESS,), reads=READS)


if __name__ == "__main__":
    JOB.main()
