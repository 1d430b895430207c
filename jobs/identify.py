"""Measure a recognizer by one-to-many search, with and without a mate.

    python -m jobs.identify configs/recognizer/mini.yaml source.path=test.tar \\
        recognizer.checkpoint=runs/mini/recognizer
    python -m jobs.identify ... identification.protocol=folders identification.gallery=enrolled
    python -m jobs.identify ... identification.protocol=table identification.table=roles.csv
    python -m jobs.identify ... identification.protocol=tinyface source.path=Testing_Set

Gives identification rates by rank, the CMC, and FNIR at FPIR with non-mated probes, from an exact
search. Who is enrolled is drawn from source by a seed unless a table or folders say so.
"""

from __future__ import annotations

from factory.config import Config
from factory.store.json_text import json_text
from jobs._job import Job


def identify(config: Config, dry_run: bool) -> None:
    from factory.evaluation.identification import identify as measure
    from factory.evaluation.metrics.json_form import to_json
    from factory.recognition.external import describe_embedder, open_embedder
    from factory.recognition.search_protocols import open_protocol
    from factory.training.distributed import pick_device

    name, key = config.recognizer.checkpoint, "recognizer.checkpoint"
    describe_embedder(name, key)
    protocol = open_protocol(config.identification, config.source)
    if dry_run:
        print("checked; nothing is written")
        return
    embedder = open_embedder(name, pick_device(config.compute), key)
    embedder.mirror_sum = config.recognizer.mirror_sum or embedder.mirror_sum
    measured = measure(embedder, protocol, config.identification, config.source)
    print(json_text(to_json(measured), indent=2))


JOB = Job(__doc__, identify, reads=("source", "recognizer", "compute", "identification"))

if __name__ == "__main__":
    JOB.main()
