"""`submit` takes every job with its own arguments, checked before anything is sent."""

from __future__ import annotations

import json

import pytest
import yaml

from jobs import __main__ as door
from jobs import submit
from tests.jobs.commands import ROOT

DEMO, BUCKET = "configs/demo.yaml", "store.url=s3://faces/made"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("words", "entrypoint", "name"),
    [
        ([DEMO, BUCKET], f"release {DEMO} {BUCKET}", "demo-0.1.0-"),
        ([str(ROOT / DEMO), BUCKET], f"release {DEMO} {BUCKET}", "demo-0.1.0-"),
        (
            ["--job", "evaluate", "s3://a/b", DEMO, BUCKET, "--", "--dry-run"],
            f"evaluate s3://a/b {DEMO} {BUCKET} --dry-run",
            "demo-0.1.0-",
        ),
        (["--job", "verify", "s3://a/b"], "verify s3://a/b", "verify-"),
        (
            ["--job", "status", "s3://a/b", "--watch", "5"],
            "status s3://a/b --watch 5",
            "status-",
        ),
        (
            ["--job", "pipeline", "configs/pipeline/smoke.yaml", BUCKET],
            f"pipeline configs/pipeline/smoke.yaml {BUCKET}",
            "smoke-",
        ),
        (
            ["--job", "claim", "configs/claims/packing.yaml", "--shared-folder"],
            "claim configs/claims/packing.yaml",
            "packing-",
        ),
        (
            ["--job", "reproduce", "000000_0000", DEMO, BUCKET, "release.title=Two words"],
            f"reproduce 000000_0000 {DEMO} {BUCKET} 'release.title=Two words'",
            "demo-0.1.0-",
        ),
    ],
)
def test_any_job_with_its_arguments(words, entrypoint, name, capsys):
    submit.JOB.main(["--dry-run", *words])
    submitted = json.loads(capsys.readouterr().out)
    assert submitted["entrypoint"] == f"python -m jobs.{entrypoint}"
    assert submitted["name"].startswith(name)


def test_a_headless_driver_runs_on_the_head_that_is_shipped_which_has_no_gpu(capsys):
    """As python -m jobs submit does it, against cluster/deploy/raycluster.yaml."""
    door.main(["submit", DEMO, BUCKET, "--dry-run"])
    submitted = json.loads(capsys.readouterr().out)
    head = yaml.safe_load((ROOT / "cluster/deploy/raycluster.yaml").read_text())["spec"][
        "headGroupSpec"
    ]
    has = head["rayStartParams"]
    assert (has["num-cpus"], has["num-gpus"]) == ("0", "0")
    assert submitted["num_cpus"] == submitted["num_gpus"] == 0.0
    (container,) = head["template"]["spec"]["containers"]
    assert not [name for name in container["resources"]["limits"] if "gpu" in name]
    assert submitted["entrypoint"] == f"python -m jobs.release {DEMO} {BUCKET}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([DEMO], "error: store.url: got the folder 'runs/releases'"),
        (["--job", "verify", "runs/x"], "error: RELEASE: got the folder 'runs/x'"),
        (["--job", "relese", DEMO], "error: relese: no such job; did you mean release?"),
        (["--job", "verify"], "error: too few arguments; want python -m jobs.verify RELEASE"),
        ([DEMO, "plan.nonsense=1"], "error: plan.nonsense: no such key"),
        ([DEMO, BUCKET, "--fast"], "error: --fast: no such option; see python -m jobs.release"),
        ([DEMO, BUCKET, "--attempts", "x"], "error: --attempts: got 'x'; want a number"),
        (
            [DEMO, BUCKET, "--gpus", "1"],
            "error: --gpus: no such option; see python -m jobs.release",
        ),
    ],
)
def test_what_cannot_run_is_refused_here(words, message):
    with pytest.raises(SystemExit) as caught:
        submit.JOB.main(["--dry-run", *words])
    assert str(caught.value.code).startswith(message)
