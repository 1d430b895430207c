"""Measure a sealed release, again too: metrics/, report/, card, croissant.json; data stay.

    python -m jobs.evaluate runs/releases/demo/releases/0.1.0 configs/demo.yaml
    python -m jobs.evaluate s3://bucket/prefix/demo/releases/0.1.0 configs/demo.yaml \\
        source.detector=face_detection_yunet.onnx features.clip=clip-vit-large-patch14-336

Source and recognizer of the config must be those of the release; the judge may be any other. One
embedding an image and network is made and kept in audit.embeddings_dir.
"""

from __future__ import annotations

from dataclasses import replace

from factory.config import Config
from jobs._command import run_on_release


def evaluate(url: str, config: Config, dry_run: bool) -> None:
    from factory.planning.preflight import check_weights
    from factory.release import Release, evaluate_and_report
    from factory.shards import layout, manifest
    from factory.sources import open_source
    from factory.store import open_store

    check_weights(config)
    source, store = open_source(config.source), open_store(replace(config.store, url=url))
    plan = manifest.sealed_plan(store)
    if not dry_run:
        evaluate_and_report(config, source, Release(store, plan, manifest.collect(store, plan)))
        print(f"wrote {store.url}/{layout.REPORT}")


if __name__ == "__main__":
    run_on_release(__doc__ or "", evaluate)
