"""What is submitted, what comes back, and when a driver is started again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster import submission
from factory.config import load, load_claim, load_pipeline
from factory.errors import FactoryError

DEMO = str(submission.ROOT / "configs/demo.yaml")
Attempt = tuple[str, int | None]
"""(final status, exit code of the driver)."""


@dataclass
class FakeServer:
    """Runs each submission to the next of its endings, two looks after it began."""

    endings: list[Attempt]
    logs: dict[int, str] = field(default_factory=dict)
    """What attempts say, by their number, where it is not the usual."""
    jobs: dict[str, list] = field(default_factory=dict)
    submitted: list[dict] = field(default_factory=list)

    def submit_job(self, **fields):
        if fields["submission_id"] in self.jobs:
            raise RuntimeError("Job with submission_id already exists")
        self.submitted.append(fields)
        self.jobs[fields["submission_id"]] = [0, self.endings.pop(0)]
        return fields["submission_id"]

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
        said = self.logs.get(int(job_id.rpartition("-")[2]), "planned\nhalf a line\ndone")
        return said[: len(said) // 2] if self.jobs[job_id][0] < 2 else said


def request(*changes: str, job: str = "release", **values):
    config = load(DEMO, list(changes))
    return submission.request(job, [DEMO, *changes], values, {DEMO: config})


def submit(server: FakeServer, attempts: int = 3) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = submission.run(server, request(), attempts, lines.append, 0, sleep=lambda s: None)
    return code, lines


def test_the_command_is_that_of_a_person_and_quoted():
    submitted = request("release.title=Two words", "store.url=s3://faces/made")
    assert submitted.entrypoint == (
        "python -m jobs.release configs/demo.yaml 'release.title=Two words' store.url=s3://faces/made"
    )
    assert submitted.name.startswith("demo-0.1.0-")
    assert request().name != request("release.seed=1").name
    assert request().name == request().name


def test_a_head_that_has_no_agent_yet_is_waited_for(monkeypatch):
    class Young(FakeServer):
        def submit_job(self, **fields):
            if len(self.refused) < 3:
                self.refused.append(fields["submission_id"])
                raise RuntimeError("status code 500: No available agent to submit job, try later")
            return super().submit_job(**fields)

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
    code, lines = submit(FakeServer([("SUCCEEDED", 0)]))
    assert code == 0
    assert lines[1:] == ["planned", "half a line", "done"]
    code, _ = submit(FakeServer([("FAILED", 1)]))
    assert code == 1


def test_a_lost_driver_is_started_again_up_to_a_limit():
    server = FakeServer([("FAILED", None), ("FAILED", 137), ("SUCCEEDED", 0)])
    code, lines = submit(server)
    assert code == 0
    name = request().name
    assert [job["submission_id"] for job in server.submitted] == [f"{name}-{i}" for i in range(3)]
    assert sum("its driver died; again in " in line for line in lines) == 2
    code, lines = submit(FakeServer([("FAILED", None)] * 3))
    assert code == 1
    assert lines[-2:] == ["why", f"{request().attempt(2)}: its driver died"]


def test_a_driver_that_says_no_is_not_started_again():
    server = FakeServer([("FAILED", 1), ("SUCCEEDED", 0)])
    assert submit(server)[0] == 1
    assert len(server.submitted) == 1
    assert submit(FakeServer([("STOPPED", None)]))[0] == 130


def test_exit_code_75_is_asked_again_and_what_is_left_of_the_attempts_is_said():
    server = FakeServer([("FAILED", 75), ("FAILED", None), ("FAILED", 75)])
    code, lines = submit(server)
    assert code == 75
    assert len(server.submitted) == 3
    assert lines[-1] == f"{request().attempt(2)}: its driver ended with 75"
    assert sum("its driver ended with 75; again in " in line for line in lines) == 1
    assert submit(FakeServer([("FAILED", 75), ("SUCCEEDED", 0)]))[0] == 0


@pytest.mark.parametrize("code", [1, 2, 74, 76, 127])
def test_any_other_exit_code_is_final(code):
    server = FakeServer([("FAILED", code), ("SUCCEEDED", 0)])
    assert submit(server)[0] == code
    assert len(server.submitted) == 1


def committed(*counts: int) -> dict[int, str]:
    """Logs of attempts that begin with so many units committed."""
    return {i: f"a\nresuming: {n} of 9 units are committed\n" for i, n in enumerate(counts) if n}


@pytest.mark.parametrize(
    ("logs", "begun"),
    [
        (committed(0, 0, 0, 0, 0, 0), 3),
        (committed(0, 2, 2, 2, 2, 2), 4),
        (committed(0, 2, 4, 4, 5, 5), 7),
        (committed(5, 5, 5, 5, 5, 5), 3),
        ({2: "progress: 1 of 9 units are committed\n"}, 5),
        ({1: "resuming: 4 of 8 steps of out are saved\n", **committed(0, 0, 1)}, 5),
        ({1: "resuming: 3 of 9 apples\nresuming:\n", 2: "so resuming: 3 of 9 apples"}, 4),
    ],
)
def test_exit_code_75_counts_anew_once_more_is_done_for_good(logs, begun):
    server = FakeServer([("FAILED", 75), ("FAILED", None)] * 5, logs)
    submit(server)
    assert len(server.submitted) == begun


def test_waits_between_attempts_double_up_to_a_limit_and_half_of_each_is_random():
    assert [submission.backoff_s(n, 0.0) for n in (1, 2, 3, 7, 8, 99)] == [2, 4, 8, 128, 150, 150]
    assert submission.backoff_s(1, 0.5) == 3.0
    waits: list[float] = []
    server = FakeServer([("FAILED", 75)] * 3)
    submission.run(server, request(), 3, print, 0, sleep=waits.append)
    assert len(waits) == 2
    assert 2 <= waits[0] < 4 <= waits[1] < 8


def test_who_submits_again_joins_what_runs():
    server = FakeServer([("SUCCEEDED", 0), ("SUCCEEDED", 0)])
    running = request().attempt(4)
    server.jobs[running] = [0, ("SUCCEEDED", 0)]
    code, lines = submit(server)
    assert code == 0
    assert not server.submitted
    assert lines[0] == f"following {running}, {submission.JOINED}"
    assert submit(server)[0] == 0  # it has ended: the next number
    assert server.submitted[0]["submission_id"] == request().attempt(5)


def test_two_submitters_at_one_moment_follow_one_run(monkeypatch):
    server = FakeServer([("SUCCEEDED", 0)])
    first = request().attempt(0)
    server.jobs[first] = [0, ("SUCCEEDED", 0)]
    monkeypatch.setattr(
        submission, "current_attempt", lambda client, request: (0, False)
    )  # a stale look
    code, lines = submit(server)
    assert (code, server.submitted) == (0, [])
    assert lines[0] == f"following {first}, {submission.JOINED}"


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
        def submit_job(self, **fields):
            raise RuntimeError("trace\nPackage size exceeds 512 MiB")

    with pytest.raises(FactoryError, match=r"did not take it .Package size"):
        submit(Full([]))
    with pytest.raises(FactoryError, match="--attempts: got 0"):
        submit(FakeServer([]), attempts=0)


def test_settings_that_differ_get_another_name_and_their_order_does_not():
    one, other = ["release.seed=1", "release.title=x"], ["release.title=x", "release.seed=1"]
    assert request(*one).name == request(*other).name
    assert request(job="evaluate", release="s3://a").name != request(job="evaluate").name
    assert request(job="evaluate").name != request().name


def test_files_that_a_pipeline_or_claim_names_are_part_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    stage, file = tmp_path / "configs/stage.yaml", "configs/p.yaml"
    for text, reader in (
        ("name: mine\nstages: [{name: a, config: configs/stage.yaml}]\n", load_pipeline),
        ("finding: x\nnot_yet: y\narms: {a: {config: configs/stage.yaml}}\n", load_claim),
    ):
        (tmp_path / file).write_text(text)
        names = []
        for seed in (1, 2):
            stage.write_text(f"release: {{seed: {seed}}}\n")
            submitted = submission.request("pipeline", [file], {}, {file: reader(file)})
            names.append(submitted.name)
        assert names[0] != names[1]
        assert submitted.entrypoint == "python -m jobs.pipeline configs/p.yaml"


def test_a_job_without_a_config_is_called_after_itself():
    submitted = submission.request("verify", ["s3://a/b c"], {"release": "s3://a/b c"}, {})
    assert submitted.entrypoint == "python -m jobs.verify 's3://a/b c'"
    assert submitted.name.startswith("verify-")


def test_what_cannot_go_along_is_refused(tmp_path):
    outside = str(tmp_path / "mine.yaml")
    Path(outside).write_text(f"name: p\nstages: [{{name: a, config: {outside}}}]\n")
    with pytest.raises(FactoryError, match="would not go to the cluster"):
        submission.request("pipeline", [outside], {}, {outside: load_pipeline(outside)})
    with pytest.raises(FactoryError, match="would not go to the cluster"):
        submission.request("pipeline", [DEMO], {}, {DEMO: load_pipeline(outside)})
    with pytest.raises(FactoryError, match="no Ray job server answers"):
        submission.connect_to_jobs("http://127.0.0.1:9")


def test_folders_that_each_node_has_its_own_of_are_refused(tmp_path):
    with pytest.raises(FactoryError, match=r"^store\.url: got the folder 'runs/releases'"):
        submission.refuse_local_folders({}, {"demo": load(DEMO)})
    with pytest.raises(FactoryError, match=r"^RELEASE: got the folder 'runs/x'"):
        submission.refuse_local_folders({"release": "runs/x"}, {})
    (tmp_path / "c.yaml").write_text("finding: x\nnot_yet: y\n")
    with pytest.raises(FactoryError, match=r"^out: got the folder 'runs/claims'"):
        submission.refuse_local_folders({}, {"c": load_claim(tmp_path / "c.yaml")})
    bucket = load(DEMO, ["store.url=s3://faces/b"])
    submission.refuse_local_folders({"release": "s3://a/b"}, {"demo": bucket})
