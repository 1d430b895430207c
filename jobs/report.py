"""Measure a sealed release again and rewrite metrics/, report/ and the card; data stay as they are.

python -m jobs.report configs/demo.yaml source.detector=face_detection_yunet.onnx
"""

from __future__ import annotations

from factory.config import Config
from factory.errors import PlanError
from jobs.command import run


def report(config: Config, dry_run: bool) -> None:
    from factory.preflight import check_weights
    from factory.release import Release, evaluate_and_report
    from factory.shards import layout, manifest
    from factory.sources import open_source
    from factory.store import open_store

    check_weights(config)
    source = open_source(config.source)
    prefix = layout.prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    plan = manifest.plan_of(store)
    if plan is None or not store.exists(layout.SUCCESS):
        raise PlanError(f"release.version: {store.url} is not sealed; run jobs.release first")
    if not dry_run:
        release = Release(store, plan, manifest.collect(store, plan))
        evaluate_and_report(config, source, release)
        print(f"wrote {store.url}/{layout.REPORT}")


if __name__ == "__main__":
    run(__doc__ or "", report)
