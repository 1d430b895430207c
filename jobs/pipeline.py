"""A whole lineage: trainings, release, measurements; what is made already is skipped.

    python -m jobs.pipeline configs/pipeline/mini.yaml [store.url=s3://faces/made]
    python -m jobs.submit configs/pipeline/mini.yaml --job pipeline store.url=s3://faces/made ...

Each stage is recorded in the store when it is whole, with the digest of what it made; the same
command goes on after a failure, and on another machine fetches the weights that it needs.
"""

from __future__ import annotations

from jobs._command import guarded, parser_of


def pipeline(file: str, dotlist: list[str]) -> None:
    from factory.config import load_pipeline
    from factory.pipeline import run
    from jobs.evaluate import evaluate
    from jobs.release import release
    from jobs.train_autoencoder import train_autoencoder
    from jobs.train_generator import train_generator
    from jobs.train_recognizer import train_recognizer
    from jobs.utility import utility

    runners = {
        "train_recognizer": lambda config, _: train_recognizer(config, False),
        "train_autoencoder": lambda config, _: train_autoencoder(config, False),
        "train_generator": lambda config, _: train_generator(config, False),
        "release": lambda config, _: release(config, False),
        "utility": lambda config, url: utility(url, config, False),
        "evaluate": lambda config, url: evaluate(url, config, False),
    }
    run(load_pipeline(file, dotlist), runners)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("config", help="YAML file, for instance configs/pipeline/mini.yaml")
    parser.add_argument("dotlist", nargs="*", metavar="key=value")
    given = parser.parse_args()
    guarded(lambda: pipeline(given.config, given.dotlist))
