"""What is submitted, what comes back, and when a driver is started again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster import submission
from factory.config import as_dict, load
from factory.errors import FactoryError
from factory.store import LocalStore

DEMO = str(submission.ROOT / "configs/demo.yaml")
Attempt = tuple[str, int | None]
"""(final status, exit code of the driver)."""


@dataclass
class FakeServer:
    """Runs each submission to the next of its endings, two looks after it began."""

    endings: list[Attempt]
    jobs: dict[str, list] = field(default_factory=dict)
    request: list[dict] = field(default_factory=list)

    def submit_job(self, **request):
        if request["submission_id"] in self.jobs:
            raise RuntimeError("Job with submission_id already exists")
        self.request.append(request)
        self.jobs[request["submission_id"]] = [0, self.endings.pop(0)]
        return request["submission_id"]

    def list_jobs(self):
        return [SimpleNamespace(submission_id=None, status="RUNNING")] + [
            SimpleNamespace(submission_id=name, status=ending[0] if looks > 1 else "RUNNING")
            for name, (looks, ending) in self.jobs.items()
        ]

    def get_job_info(self, job_id):
        job = self.jobs[job_id]
        job[0] += 1
        status, code = job[1] if job[0] > 1 else ("RUNNING", None)
        return SimpleNamespace(status=status, driver_exit_code=code, message="told\nwhy")

    def get_job_logs(self, job_id):
        return "planned\nhalf a li" if self.jobs[job_id][0] < 2 else "planned\nhalf a line\ndone"


def request(*dotlist: str):
    settings = {DEMO: as_dict(load(DEMO, list(dotlist)))}
    return submission.request("demo-0.1.0", "release", settings, list(dotlist))


def submit(server: FakeServer, attempts: int = 3) -> tuple[int, list[str]]:
    said: list[str] = []
    return submission.run(server, request(), attempts, said.append, poll_s=0), said


def test_the_command_is_that_of_a_person_and_quoted():
    found = request("release.title=Two words", "store.url=s3://faces/made")
    assert found.entrypoint == (
        "python -m jobs.release configs/demo.yaml 'release.title=Two words' store.url=s3://faces/made"
    )
    assert found.name.startswith("demo-0.1.0-")
    assert request().name != request("release.seed=1").name
    assert request().name == request().name


def test_a_head_that_has_no_agent_yet_is_waited_for(monkeypatch):
    class Young(FakeServer):
        def submit_job(self, **told):
            if len(self.refused) < 3:
                self.refused.append(told["submission_id"])
                raise RuntimeError("status code 500: No available agent to submit job, try later")
            return super().submit_job(**told)

    server = Young([("SUCCEEDED", 0)])
    server.refused = []
    assert submit(server)[0] == 0
    assert len(server.refused) == 3
    monkeypatch.setattr(submission, "PATIENCE_S", -1.0)
    never = Young([])
    never.refused = []
    with pytest.raises(FactoryError, match=r"the cluster did not take it .*No available agent"):
        submit(never)


def test_code_goes_along_and_credentials_do_not(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:8333")
    environment = request().runtime_env
    assert environment["env_vars"]["AWS_ENDPOINT_URL"] == "http://store:8333"
    assert "hush" not in json.dumps(environment)
    assert (Path(environment["working_dir"]) / "jobs/release.py").is_file()
    assert {"/.git", "/.env*", "/.ray-token*", "/tests", "/runs"} <= set(environment["excludes"])


def test_each_line_of_the_log_comes_once_and_the_exit_code_is_the_drivers():
    code, said = submit(FakeServer([("SUCCEEDED", 0)]))
    assert code == 0
    assert said[1:] == ["planned", "half a line", "done"]
    code, _ = submit(FakeServer([("FAILED", 1)]))
    assert code == 1


def test_a_lost_driver_is_started_again_up_to_a_limit():
    server = FakeServer([("FAILED", None), ("FAILED", 137), ("SUCCEEDED", 0)])
    code, said = submit(server)
    assert code == 0
    name = request().name
    assert [job["submission_id"] for job in server.request] == [f"{name}-{i}" for i in range(3)]
    assert sum("its driver died; again" in line for line in said) == 2
    code, said = submit(FakeServer([("FAILED", None)] * 3))
    assert code == 1
    assert said[-2:] == ["why", f"{request().attempt(2)}: its driver died"]


def test_a_driver_that_says_no_is_not_asked_again():
    server = FakeServer([("FAILED", 1), ("SUCCEEDED", 0)])
    assert submit(server)[0] == 1
    assert len(server.request) == 1
    assert submit(FakeServer([("STOPPED", None)]))[0] == 130


def test_who_submits_again_joins_what_runs():
    server = FakeServer([("SUCCEEDED", 0), ("SUCCEEDED", 0)])
    running = request().attempt(4)
    server.jobs[running] = [0, ("SUCCEEDED", 0)]
    code, said = submit(server)
    assert code == 0
    assert not server.request
    assert said[0] == f"following {running}, which runs already"
    assert submit(server)[0] == 0  # it has ended: the next number
    assert server.request[0]["submission_id"] == request().attempt(5)


def test_two_submitters_at_one_moment_follow_one_run(monkeypatch):
    server = FakeServer([("SUCCEEDED", 0)])
    first = request().attempt(0)
    server.jobs[first] = [0, ("SUCCEEDED", 0)]
    monkeypatch.setattr(submission, "standing", lambda client, request: (0, False))  # a stale look
    code, said = submit(server)
    assert (code, server.request) == (0, [])
    assert said[0] == f"following {first}, which runs already"


def test_a_server_out_of_reach_is_waited_for_and_then_given_up(monkeypatch):
    server = FakeServer([("SUCCEEDED", 0)])
    look, misses = server.get_job_info, iter([ConnectionError("gone"), RuntimeError("500")])

    def flaky(job_id):
        for error in misses:
            raise error
        return look(job_id)

    server.get_job_info = flaky
    assert submit(server)[0] == 0

    def gone(job_id):
        raise ConnectionError("gone")

    unwatched = FakeServer([("SUCCEEDED", 0)])
    unwatched.get_job_info = gone
    monkeypatch.setattr(submission, "PATIENCE_S", 0.01)
    with pytest.raises(FactoryError, match=r"no job server .* the same command joins it"):
        submission.run(unwatched, request(), 1, print, poll_s=0.02)


def test_what_the_cluster_does_not_take_is_one_line():
    class Full(FakeServer):
        def submit_job(self, **request):
            raise RuntimeError("trace\nPackage size exceeds 512 MiB")

    with pytest.raises(FactoryError, match=r"did not take it .Package size"):
        submit(Full([]))
    with pytest.raises(FactoryError, match="--attempts: got 0"):
        submit(FakeServer([]), attempts=0)


def test_a_stages_config_is_part_of_a_pipelines_name():
    one, other = (
        submission.request("mini", "pipeline", {DEMO: {}, f"{DEMO}.2": text}) for text in "ab"
    )
    assert one.name != other.name


def test_what_cannot_go_along_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("{}\n")
    with pytest.raises(FactoryError, match="would not go to the cluster"):
        submission.request("demo", "release", {str(tmp_path / "mine.yaml"): {}})
    with pytest.raises(FactoryError, match="would not go to the cluster"):
        submission.request("demo", "pipeline", {DEMO: {}, str(submission.ROOT / "runs/x.yaml"): {}})
    with pytest.raises(FactoryError, match=r"store\.url: got the folder"):
        submission.refuse_local_store(LocalStore(tmp_path))
    with pytest.raises(FactoryError, match="no Ray job server answers"):
        submission.connect_to_jobs("http://127.0.0.1:9")
