"""Make trainings, release and measurements in order, each once.

    python -m jobs.pipeline configs/pipeline/mini.yaml [store.url=s3://faces/made]
    python -m jobs.submit --job pipeline configs/pipeline/mini.yaml store.url=s3://faces/made

Stages that are finished are skipped. Each stage is recorded in the store when it is whole, with the
digest of its result; the same command goes on after a failure, and on another machine fetches the
weights that it needs.
"""

from __future__ import annotations

from factory.config import PipelineConfig, load, load_pipeline
from jobs._job import Job


def pipeline(config: PipelineConfig, dry_run: bool) -> None:
    from factory.pipeline import run
    from jobs.evaluate import evaluate
    from jobs.release import release
    from jobs.train_autoencoder import train_autoencoder
    from jobs.train_generator import train_generator
    from jobs.train_recognizer import train_recognizer
    from jobs.utility import utility

    for stage in config.stages:
        load(stage.config, stage.set)
    if dry_run:
        print(f"checked the configs of {len(config.stages)} stages")
        return
    runners = {
        "train_recognizer": lambda config, _: train_recognizer(config, False),
        "train_autoencoder": lambda config, _: train_autoencoder(config, False),
        "train_generator": lambda config, _: train_generator(config, False),
        "release": lambda config, _: release(config, False),
        "utility": lambda config, url: utility(url, config, False),
        "evaluate": lambda config, url: evaluate(url, config, False),
    }
    run(config, runners)


JOB = Job(__doc__, pipeline, load=load_pipeline)


if __name__ == "__main__":
    JOB.main()
