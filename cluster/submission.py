"""A job on a cluster: the working tree goes along, the log comes back, a dead driver is replaced.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from factory.config import ClaimConfig, Config, PipelineConfig, as_dict
from factory.errors import FactoryError

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
DONE = ("SUCCEEDED", "FAILED", "STOPPED")


class Client(Protocol):
    """The part of ray.job_submission.JobSubmissionClient that is used here."""

    def submit_job(
        self,
        *,
        entrypoint: str,
        submission_id: str,
        runtime_env: dict[str, Any],
        entrypoint_num_gpus: float | None,
    ) -> str: ...
    def list_jobs(self) -> Sequence[Any]: ...
    def get_job_info(self, job_id: str) -> Any: ...
    def get_job_logs(self, job_id: str) -> str: ...


@dataclass(frozen=True)
class Request:
    """What is submitted: the command that the driver runs, what names it, what it needs."""

    entrypoint: str
    name: str
    runtime_env: dict[str, Any]
    num_gpus: float = 0.0

    def attempt(self, number: int) -> str:
        return f"{self.name}-{number}"


def request(
    job: str,
    words: Sequence[str],
    values: Mapping[str, Any],
    configs: Mapping[str, Any],
    num_gpus: float = 0.0,
) -> Request:
    """`python -m jobs.<job> <words>` on a cluster, called after what it makes and all settings.

    `configs` are the objects of the config files among the words, `values` what else the words
    stand for. Raises FactoryError for a file that would not go along. With `num_gpus` the driver is
    placed where that is free, so that a plan is made on a machine like those of the actors.
    """
    files = {file: _in_the_tree(file) for file in configs}
    settings = [job, dict(values), [_settings(config) for config in configs.values()]]
    text = json.dumps(settings, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    name = next((_name(config, Path(file).stem) for file, config in configs.items()), job)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Request(
        shlex.join(["python", "-m", f"jobs.{job}", *(files.get(word, word) for word in words)]),
        f"{name}-{digest}",
        {"working_dir": str(ROOT), "excludes": list(EXCLUDES), "env_vars": environment},
        num_gpus,
    )


def _name(config: Any, stem: str) -> str:
    """What a job is called in the list of the cluster's jobs."""
    if isinstance(config, Config):
        return f"{config.release.dataset}-{config.release.version}"
    return config.name if isinstance(config, PipelineConfig) else stem


def _settings(config: Any) -> list[Any]:
    """All settings of a config, with the texts of the files that it names."""
    names: list[str] = []
    if isinstance(config, PipelineConfig):
        names = [stage.config for stage in config.stages]
    if isinstance(config, ClaimConfig):
        arms = config.arms.values()
        names = [name for arm in arms for name in (arm.config, arm.release) if name]
    return [as_dict(config), [Path(ROOT, _in_the_tree(name)).read_text() for name in names]]


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
    FactoryError where nothing answers.
    """
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
    request: Request,
    max_attempts: int,
    out: Callable[[str], None] = print,
    poll_s: float = POLL_S,
) -> int:
    """Submit, or join the attempt that runs, and follow its log; the driver's exit code.

    While drivers die it begins again, at most `max_attempts` times in all.
    """
    if max_attempts < 1:
        raise FactoryError(f"--attempts: got {max_attempts}; want at least 1")
    for count in range(1, max_attempts + 1):
        number, running = current_attempt(client, request)
        name = request.attempt(number)
        running = running or not _submitted(client, request, name, poll_s)
        out(f"following {name}, which runs already" if running else f"submitted {name}")
        code = follow(client, name, out, poll_s)
        if code is not None:
            return code
        out(f"{name}: its driver died" + ("; again" if count < max_attempts else ""))
    return 1


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
                entrypoint_num_gpus=request.num_gpus or None,
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

    None where the driver was killed or never started. Raises FactoryError when no server answers
    for long.
    """
    printed, answered = 0, time.monotonic()
    while True:
        try:
            job, log = client.get_job_info(name), client.get_job_logs(name)
        except (ConnectionError, RuntimeError) as error:
            if time.monotonic() - answered > PATIENCE_S:
                raise FactoryError(
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
