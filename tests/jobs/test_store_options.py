"""Jobs at an address reach a bucket by settings alone, and refuse an address that is none."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError
from factory.execution.inline import run_units
from factory.release import build
from factory.sources.webdataset import ReleaseStream
from factory.store import open_url
from jobs._catalog import find
from tests import s3_server
from tests.conftest import tiny_dotlist

AT_ADDRESS = ("status", "verify", "gc", "export")


@pytest.fixture
def run(capsys):
    """Function of a job's name and words -> what it printed; SystemExit where it failed."""

    def run_job(name, *words):
        find(name).main([str(word) for word in words])
        return capsys.readouterr().out

    return run_job


@pytest.fixture(scope="module")
def bucket(s3_endpoint, people, weights, tmp_path_factory):
    """(config file, changes, address of a release, settings); the environment names no endpoint."""
    root = tmp_path_factory.mktemp("bucket")
    (root / "release.yaml").write_text("{}\n")
    url = f"s3://{s3_server.BUCKET}/{root.name}"
    settings = [f"store.endpoint_url={s3_endpoint}", "store.path_style=true"]
    changes = [*tiny_dotlist(people, weights, root / "none"), f"store.url={url}", *settings]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        build(load(root / "release.yaml", changes), run_units, log=lambda line: None)
        yield root / "release.yaml", changes, f"{url}/tiny/releases/0.1.0", settings


@pytest.mark.s3
def test_every_job_at_an_address_takes_the_settings_of_a_release(bucket, run, tmp_path):
    file, changes, release, settings = bucket
    assert "3 of 3" in run("status", release, *settings)
    assert "the release is whole" in run("verify", release, *settings)
    assert "0 leftovers" in run("gc", release, *settings, "--older-than-hours", "0")
    assert "12 images" in run("export", release, "imagefolder", tmp_path / "out", *settings)
    made = run("reproduce", "000003_0001", file, *changes, "--out", tmp_path / "again.jpg")
    assert "byte for byte" in made
    assert (tmp_path / "again.jpg").stat().st_size
    stream = ReleaseStream(open_url(release, settings))
    assert len(list(stream)) == 12


@pytest.mark.s3
def test_the_environment_still_names_an_endpoint(bucket, run, monkeypatch, s3_endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert "the release is whole" in run("verify", bucket[2] + "/")


@pytest.mark.parametrize("job", AT_ADDRESS)
@pytest.mark.parametrize(
    ("url", "words", "line"),
    [
        ("s3://faces//x", [], "store.url: got 's3://faces//x', with an empty part"),
        ("s3:/faces/x", [], "store.url: got 's3:/faces/x'; want s3://faces/x"),
        ("S3://faces/x", [], "store.url: got 'S3://faces/x'; want s3://faces/x"),
        ("s3://faces/x", ["store.endpoint=x"], "store.endpoint: no such key; did you mean"),
        ("s3://faces/x", ["release.seed=1"], "release.seed=1: one argument too many; want python"),
    ],
)
def test_an_address_that_is_none_is_one_line(job, url, words, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    formats = ["rec", "out"] if job == "export" else []
    with pytest.raises(SystemExit) as caught:
        find(job).main([url, *formats, *words])
    assert str(caught.value.code).startswith(f"error: {line}")
    assert "\n" not in str(caught.value.code)
    assert list(tmp_path.iterdir()) == []  # no folder that is called "s3:"


@pytest.mark.parametrize("url", ["s3://faces//x", "s3:/faces/x", "s3://faces/x?a=b", "s3://Fa"])
def test_a_release_at_no_address_does_nothing(release_config, url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"store\.url: got"):
        release_config(f"store.url={url}")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("s3")]


def test_help_names_the_settings(run, capsys):
    for job in AT_ADDRESS:
        with pytest.raises(SystemExit):
            find(job).main(["--help"])
        assert "[store.key=value ...]" in capsys.readouterr().out
