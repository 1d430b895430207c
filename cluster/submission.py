"""A job on a cluster: the working tree goes along, the log comes back, a lost driver is replaced.

A submitted job runs once (Ray retries nothing), so the submitter counts attempts. An attempt's
name is that of the config and its number: who submits the same config again while it runs follows
that run instead of starting a second one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from factory.config import Config, PipelineConfig, as_dict
from factory.errors import FactoryError
from factory.store import Store

ROOT = Path(__file__).parent.parent
EXCLUDES = (
    *("/.git", "/.github", "/.ci", "/.venv", "/.hypothesis"),
    *("/.mypy_cache", "/.pytest_cache", "/.ruff_cache"),
    *("/tests", "/runs", "/build", "/cluster/deploy", "*.egg-info", "__pycache__", "*.pyc"),
)
"""What nodes need not have, as .gitignore spells it. Not "/.*": that is the whole tree to Ray."""
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_HUB_OFFLINE")
"""Environment of the submitter that jobs get. Credentials never are: whoever sees the dashboard
sees a job's environment. Nodes have theirs from an instance role or a secret."""
POLL_S = 2.0
DONE = ("SUCCEEDED", "FAILED", "STOPPED")


class Client(Protocol):
    """What is used of ray.job_submission.JobSubmissionClient."""

    def submit_job(self, **asked: Any) -> str: ...
    def list_jobs(self) -> Sequence[Any]: ...
    def get_job_info(self, job_id: str) -> Any: ...
    def get_job_logs(self, job_id: str) -> str: ...


@dataclass(frozen=True)
class Request:
    """What is submitted: the command that the driver runs, and what names it."""

    entrypoint: str
    name: str
    runtime_env: dict[str, Any]

    def attempt(self, number: int) -> str:
        return f"{self.name}-{number}"


def request(
    name: str, config: Config | PipelineConfig, job: str, file: str, dotlist: Sequence[str]
) -> Request:
    """`python -m jobs.<job> FILE DOTLIST` on a cluster, called after `name` and the config. Raises
    FactoryError for a config outside the working tree, which would not go along."""
    path = Path(file).absolute()
    if not path.is_relative_to(ROOT):
        raise FactoryError(
            f"{file}: is not below {ROOT}, so it would not go to the cluster; copy it into configs/"
        )
    command = ["python", "-m", f"jobs.{job}", path.relative_to(ROOT).as_posix(), *dotlist]
    asked = json.dumps([job, as_dict(config)], sort_keys=True, default=str)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Request(
        shlex.join(command),
        f"{name}-{digest}",
        {"working_dir": str(ROOT), "excludes": list(EXCLUDES), "env_vars": environment},
    )


def connect_to_jobs(address: str) -> Client:
    """The job server of a cluster, at http://head:8265. With RAY_AUTH_MODE=token the token of
    RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is sent. Raises FactoryError where nothing answers."""
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)  # because it tells of every file it packs
    try:
        client = JobSubmissionClient(address)
        client.list_jobs()
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FactoryError(
            f"--address: no Ray job server answers at {address} ({reason}); check the address, and "
            "the token in RAY_AUTH_TOKEN_PATH"
        ) from None
    return client


def run(
    client: Client,
    asked: Request,
    max_attempts: int,
    out: Callable[[str], None] = print,
    poll_s: float = POLL_S,
) -> int:
    """Submit, or join the attempt that runs, follow its log, and begin again while drivers are
    lost; the exit code of the last driver."""
    number, running = standing(client, asked)
    for tried in range(1, max_attempts + 1):
        name = asked.attempt(number)
        if running:
            out(f"following {name}, which runs already")
        else:
            client.submit_job(
                entrypoint=asked.entrypoint, submission_id=name, runtime_env=asked.runtime_env
            )
            out(f"submitted {name}")
        code = follow(client, name, out, poll_s)
        if code is not None:
            return code
        out(f"{name}: its driver was lost" + ("; again" if tried < max_attempts else ""))
        number, running = number + 1, False
    return 1


def standing(client: Client, asked: Request) -> tuple[int, bool]:
    """(number of the attempt to look at, whether it is running): the last one, or a new one."""
    mine = {
        int(job.submission_id.rpartition("-")[2]): _status(job)
        for job in client.list_jobs()
        if job.submission_id and job.submission_id.rpartition("-")[0] == asked.name
    }
    if not mine:
        return 0, False
    last = max(mine)
    return (last, True) if mine[last] not in DONE else (last + 1, False)


def follow(client: Client, name: str, out: Callable[[str], None], poll_s: float) -> int | None:
    """Print the log of a job as it comes, until it ends; its driver's exit code, None where the
    driver was killed or lost with its node."""
    seen = 0
    while True:
        job = client.get_job_info(name)
        ended = _status(job) in DONE
        log = client.get_job_logs(name)
        whole = len(log) if ended else log.rfind("\n") + 1
        for line in log[seen:whole].splitlines():
            out(line)
        seen = max(seen, whole)
        if ended:
            return _exit_code(job)
        time.sleep(poll_s)


def _exit_code(job: Any) -> int | None:
    status, code = _status(job), job.driver_exit_code
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return 130  # because somebody stopped it on purpose
    return code if code is not None and 0 < code < 128 else None


def _status(job: Any) -> str:
    return str(getattr(job.status, "value", job.status))


def refuse_local_store(store: Store) -> None:
    """Raise FactoryError for a folder, which every node would have its own of."""
    if "://" not in store.url:
        raise FactoryError(
            f"store.url: got the folder {store.url!r}, which each node has its own of; want "
            "s3://bucket/prefix, or --shared-folder where all nodes mount it"
        )
