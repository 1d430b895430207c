"""Run a job on a Ray cluster: the working tree goes along, the log and the exit code come back.

    python -m jobs.submit configs/demo.yaml store.url=s3://faces/made --address http://head:8265
    python -m jobs.submit configs/demo.yaml store.url=s3://faces/made --dry-run

The same as `ray job submit --working-dir . -- python -m jobs.release CONFIG`, but a driver that is
lost with its node is started again, and the same command joins a run that is under way. Paths in
the config are those of the nodes; credentials are the nodes' own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from factory.config import Config, PipelineConfig, load, load_pipeline
from jobs.command import guarded, parser_of

JOBS = ("release", "pipeline", "train_recognizer", "train_autoencoder", "train_generator")


def submit(given: argparse.Namespace) -> None:
    from cluster import submission
    from factory.store import open_store

    if given.job == "pipeline":
        config: Config | PipelineConfig = load_pipeline(given.config, given.dotlist)
        name = config.name
    else:
        config = load(given.config, given.dotlist)
        name = f"{config.release.dataset}-{config.release.version}"
    asked = submission.request(name, config, given.job, given.config, given.dotlist)
    if not given.shared_folder:
        submission.refuse_local_store(open_store(config.store))
    if given.dry_run:
        print(json.dumps({"name": asked.name, "entrypoint": asked.entrypoint}, indent=2))
        print(json.dumps(asked.runtime_env, indent=2))
        return
    client = submission.connect_to_jobs(given.address)
    sys.exit(submission.run(client, asked, given.attempts))


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("config", help="YAML file below the working tree")
    parser.add_argument("dotlist", nargs="*", metavar="section.key=value")
    parser.add_argument("--job", choices=JOBS, default="release", help="what to run")
    parser.add_argument("--address", default=os.environ.get("RAY_API_SERVER_ADDRESS", ""))
    parser.add_argument("--attempts", type=int, default=3, help="drivers that may be lost, and 1")
    parser.add_argument("--shared-folder", action="store_true", help="all nodes see store.url")
    parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")
    given = parser.parse_intermixed_args()
    guarded(lambda: submit(given))
