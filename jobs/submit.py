"""Run a job on a Ray cluster, and follow its log.

    python -m jobs.submit configs/demo.yaml store.url=s3://faces/made --address http://head:8265
    python -m jobs.submit --job pipeline configs/pipeline/mini.yaml store.url=s3://faces/made
    python -m jobs.submit --job verify s3://faces/made/demo/releases/0.1.0

The working tree goes along; the exit code is that of the job. All but the options below are the
arguments of the job; its own options stand after `--`, as in `-- --dry-run`. The driver runs on the
head, which needs no GPU. One that dies, or ends with exit code 75, is begun again; the same command
joins what runs, also with other workers or prices. Paths and credentials are those of the nodes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys

from jobs._arguments import flag, option, parse
from jobs._catalog import find
from jobs._job import Job


def submit(
    words: list[str], job: str, address: str, attempts: int, shared_folder: bool, dry_run: bool
) -> None:
    from cluster import submission

    target = find(job)
    parsed = parse(target, words)
    loaded = target.configs(parsed)
    configs = dict(zip(parsed.files, loaded.values(), strict=True))
    if not shared_folder:
        submission.refuse_local_folders(parsed.values, loaded)
    request = submission.request(job, words, parsed.values, configs, target.reads)
    if dry_run:
        print(json.dumps(dataclasses.asdict(request), indent=2, allow_nan=False))
        return
    sys.exit(submission.run(submission.connect_to_jobs(address), request, attempts))


SERVER = os.environ.get("RAY_API_SERVER_ADDRESS", "")
OPTIONS = (
    option("--job", "what to run", "NAME", default="release"),
    option("--address", "Ray's job server, else RAY_API_SERVER_ADDRESS", "URL", default=SERVER),
    option("--attempts", "attempts in a row that may add nothing", "N", int, 3),
    flag("--shared-folder", "all nodes see the folders that are named"),
    flag("--dry-run", "print what would be submitted, and stop"),
)
JOB = Job(__doc__, submit, load=None, words="ARGUMENT ...", options=OPTIONS)


if __name__ == "__main__":
    JOB.main()
