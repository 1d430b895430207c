"""A job on a cluster: the working tree goes along, the log comes back, a dead driver is replaced.

A submitted job runs once (Ray retries nothing), so the submitter counts attempts. An attempt's
name is that of what it makes (submission_identity.py) and its number: who submits the same again
while it runs follows that run instead of starting a second one.
"""

from __future__ import annotations

import logging
import os
import random
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cluster.submission_identity import digest
from factory.config import ClaimConfig, Config, PipelineConfig
from factory.errors import MAY_GO_AGAIN, ClusterError, FactoryError
from factory.records import Progress

ROOT = Path(__file__).parent.parent
EXCLUDES = (
    *("/.git", "/.github", "/.ci", "/.venv", "/.hypothesis"),
    *("/.mypy_cache", "/.pytest_cache", "/.ruff_cache"),
    *("/.env*", "/.ray-token*", "/.aws", "*.pem", "*.key"),
    *("/tests", "/runs", "/build", "/cluster/deploy", "*.egg-info", "__pycache__", "*.pyc"),
)
"""What nodes need not have, as .gitignore spells it. Not "/.*": that is the whole tree to Ray."""
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_HUB_OFFLINE")
"""Environment of the submitter that jobs get. Credentials never are: whoever sees the dashboard
sees a job's environment. Nodes have theirs from an instance role or a secret."""
POLL_S = 2.0
NOT_YET = "No available agent"
"""What a job server says that cannot start drivers yet."""
PATIENCE_S = 300.0
"""How long a job server may be out of reach before the submitter gives up."""
BACKOFF_S = (4.0, 300.0)
"""Wait after one attempt that added nothing, and the longest; doubled in between."""
JOINED = "which runs already, with the settings that it was begun with"
DONE = ("SUCCEEDED", "FAILED", "STOPPED")


class Client(Protocol):
    """The part of ray.job_submission.JobSubmissionClient that is used here."""

    def submit_job(
        self,
        *,
        entrypoint: str,
        submission_id: str,
        runtime_env: dict[str, Any],
        entrypoint_num_cpus: float,
        entrypoint_num_gpus: float,
    ) -> str: ...
    def list_jobs(self) -> Sequence[Any]: ...
    def get_job_info(self, job_id: str) -> Any: ...
    def get_job_logs(self, job_id: str) -> str: ...


@dataclass(frozen=True)
class Request:
    """What is submitted: the command that the driver runs, what names it, what it needs.

    It needs no place in the cluster: Ray puts such a driver on the head, whatever the head has, and
    one that asks for a CPU or a GPU on any node that has it, which may be a spot node.
    """

    entrypoint: str
    name: str
    runtime_env: dict[str, Any]
    num_cpus: float = 0.0
    num_gpus: float = 0.0

    def attempt(self, number: int) -> str:
        return f"{self.name}-{number}"


def request(
    job: str,
    words: Sequence[str],
    values: Mapping[str, Any],
    configs: Mapping[str, Any],
    sections: Sequence[str] = (),
) -> Request:
    """`python -m jobs.<job> <words>` on a cluster, called after what it makes.

    `configs` are the objects of the config files among the words, `values` what else the words
    stand for, `sections` those that the job reads. Raises FactoryError for a file that would not go
    along.
    """
    files = {file: _in_the_tree(file) for file in configs}
    made = digest(job, values, list(configs.values()), sections, _path)
    name = next((_name(config, Path(file).stem) for file, config in configs.items()), job)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Request(
        shlex.join(["python", "-m", f"jobs.{job}", *(files.get(word, word) for word in words)]),
        f"{name}-{made}",
        {"working_dir": str(ROOT), "excludes": list(EXCLUDES), "env_vars": environment},
    )


def _name(config: Any, stem: str) -> str:
    """What a job is called in the list of the cluster's jobs."""
    if isinstance(config, Config):
        return f"{config.release.dataset}-{config.release.version}"
    return config.name if isinstance(config, PipelineConfig) else stem


def _path(file: str) -> Path:
    return ROOT / _in_the_tree(file)


def _in_the_tree(file: str) -> str:
    """Path of a config relative to the working tree; raises FactoryError for one outside."""
    path = Path(file).absolute()
    if not path.is_relative_to(ROOT / "configs"):
        raise FactoryError(
            f"{file}: is not below {ROOT / 'configs'}, so it would not go to the cluster; copy it "
            "there"
        )
    return path.relative_to(ROOT).as_posix()


def connect_to_jobs(address: str) -> Client:
    """The job server of a cluster, at http://head:8265.

    With RAY_AUTH_MODE=token the token of RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is sent. Raises
    ClusterError where nothing answers.
    """
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)  # because it tells of every file it packs
    try:
        client = JobSubmissionClient(address)
        client.list_jobs()
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(
            f"--address: no Ray job server answers at {address} ({reason}); check the address, and "
            "the token in RAY_AUTH_TOKEN_PATH"
        ) from None
    return client


def run(
    client: Client,
    request: Request,
    max_attempts: int,
    out: Callable[[str], None] = print,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Submit, or join the attempt that runs, and follow its log; the driver's exit code.

    While drivers die or end with MAY_GO_AGAIN it begins again, at most `max_attempts` times without
    one that added to what is done.
    """
    if max_attempts < 1:
        raise FactoryError(f"--attempts: got {max_attempts}; want at least 1")
    log, fruitless = ProgressLog(out), 0
    while True:
        number, running = current_attempt(client, request)
        name = request.attempt(number)
        running = running or not _submitted(client, request, name, poll_s)
        out(f"following {name}, {JOINED}" if running else f"submitted {name}")
        log.grew = False
        code = follow(client, name, log, poll_s)
        if code not in (None, MAY_GO_AGAIN):
            return code
        fruitless = 1 if log.grew else fruitless + 1
        ended = "its driver died" if code is None else f"its driver ended with {code}"
        if fruitless >= max_attempts:
            out(f"{name}: {ended}")
            return 1 if code is None else code
        wait_s = backoff_s(fruitless, random.random())
        out(f"{name}: {ended}; again in {wait_s:.0f} s")
        sleep(wait_s)


class ProgressLog:
    """Passes the lines of attempts on, and sees whether they tell of more done than ever before."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._most: dict[tuple[int, str], int] = {}
        self.grew = False

    def __call__(self, line: str) -> None:
        told = Progress.read(line)
        if told and told.done > self._most.get((told.total, told.what), 0):
            self.grew = True
            self._most[told.total, told.what] = told.done
        self._out(line)


def backoff_s(fruitless: int, jitter: float) -> float:
    """Seconds before the next attempt after so many that added nothing; `jitter` is in [0, 1).

    Half of it is random, because a store or a cluster in trouble has more than one submitter.
    """
    first, most = BACKOFF_S
    return float(min(first * 2.0 ** (fruitless - 1), most) * (0.5 + jitter / 2))


def _submitted(client: Client, request: Request, name: str, poll_s: float) -> bool:
    """Submit an attempt; False where somebody else has submitted it in this moment.

    A head that has just started, on a busy machine, has no agent yet for a while.
    """
    began = time.monotonic()
    while True:
        try:
            client.submit_job(
                entrypoint=request.entrypoint,
                submission_id=name,
                runtime_env=request.runtime_env,
                entrypoint_num_cpus=request.num_cpus,
                entrypoint_num_gpus=request.num_gpus,
            )
            return True
        except (RuntimeError, ValueError) as error:
            if name in {job.submission_id for job in client.list_jobs()}:
                return False
            if NOT_YET not in str(error) or time.monotonic() - began > PATIENCE_S:
                reason = str(error).strip().splitlines()[-1]
                raise FactoryError(f"{name}: the cluster did not take it ({reason})") from None
        time.sleep(poll_s)


def current_attempt(client: Client, request: Request) -> tuple[int, bool]:
    """(number of the attempt to look at, whether it is running): the last one, or a new one."""
    attempts = {
        int(job.submission_id.rpartition("-")[2]): _status(job)
        for job in client.list_jobs()
        if job.submission_id and job.submission_id.rpartition("-")[0] == request.name
    }
    if not attempts:
        return 0, False
    last = max(attempts)
    return (last, True) if attempts[last] not in DONE else (last + 1, False)


def follow(client: Client, name: str, out: Callable[[str], None], poll_s: float) -> int | None:
    """Print the log of a job as it comes, until it ends; the exit code of its driver.

    None where the driver was killed or never started. Raises ClusterError when no server answers
    for long.
    """
    printed, answered = 0, time.monotonic()
    while True:
        try:
            job, log = client.get_job_info(name), client.get_job_logs(name)
        except (ConnectionError, RuntimeError) as error:
            if time.monotonic() - answered > PATIENCE_S:
                raise ClusterError(
                    f"{name}: no job server for {PATIENCE_S:.0f} s ({error}); the job may live on, "
                    "the same command joins it"
                ) from None
            time.sleep(poll_s)
            continue
        answered = time.monotonic()
        ended = _status(job) in DONE
        whole = len(log) if ended else log.rfind("\n") + 1
        for line in log[printed:whole].splitlines():
            out(line)
        printed = max(printed, whole)
        if ended:
            code = _exit_code(job)
            if code is None and job.message:
                out(str(job.message).strip().splitlines()[-1])
            return code
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


def refuse_local_folders(values: Mapping[str, Any], configs: Mapping[str, Any]) -> None:
    """Raise FactoryError for a folder of releases, which every node would have its own of."""
    urls = {"RELEASE": str(values["release"])} if "release" in values else {}
    for config in configs.values():
        if isinstance(config, Config | PipelineConfig):
            urls["store.url"] = config.store.url
        if isinstance(config, ClaimConfig):
            urls["out"] = config.out
    for key, url in urls.items():
        if "://" not in url:
            raise FactoryError(
                f"{key}: got the folder {url!r}, which each node has its own of; want "
                "s3://bucket/prefix, or --shared-folder where all nodes mount it"
            )
