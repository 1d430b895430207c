"""Run a job on a Ray cluster: the working tree goes along, the log and the exit code come back.

    python -m jobs.submit configs/demo.yaml store.url=s3://faces/made --address http://head:8265
    python -m jobs.submit configs/demo.yaml store.url=s3://faces/made --gpus 1 --dry-run

As `ray job submit --working-dir . -- python -m jobs.release CONFIG`, but a driver that dies is
begun again, and the same command joins what runs. Paths and credentials are those of the nodes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from factory.config import as_dict, load, load_pipeline
from jobs._command import guarded, parser_of

JOBS = ("release", "pipeline", "train_recognizer", "train_autoencoder", "train_generator")


def submit(given: argparse.Namespace) -> None:
    from cluster import submission
    from factory.store import open_store

    if given.job == "pipeline":
        lineage = load_pipeline(given.config, given.dotlist)
        name, store = lineage.name, lineage.store
        configs: dict[str, Any] = {given.config: as_dict(lineage)}
        configs |= {stage.config: Path(stage.config).read_text() for stage in lineage.stages}
    else:
        config = load(given.config, given.dotlist)
        name, store = f"{config.release.dataset}-{config.release.version}", config.store
        configs = {given.config: as_dict(config)}
    asked = submission.request(name, given.job, configs, given.dotlist, given.gpus)
    if not given.shared_folder:
        submission.refuse_local_store(open_store(store))
    if given.dry_run:
        print(json.dumps(dataclasses.asdict(asked), indent=2))
        return
    client = submission.connect_to_jobs(given.address)
    sys.exit(submission.run(client, asked, given.attempts))


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("config", help="YAML file below the working tree")
    parser.add_argument("dotlist", nargs="*", metavar="section.key=value")
    parser.add_argument("--job", choices=JOBS, default="release", help="what to run")
    parser.add_argument("--address", default=os.environ.get("RAY_API_SERVER_ADDRESS", ""))
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs of the driver's place")
    parser.add_argument("--attempts", type=int, default=3, help="drivers that may die, and 1")
    parser.add_argument("--shared-folder", action="store_true", help="all nodes see store.url")
    parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")
    given = parser.parse_intermixed_args()
    guarded(lambda: submit(given))
