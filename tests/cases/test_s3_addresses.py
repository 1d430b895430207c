"""An address of a bucket that is misspelled is one line before work, and never a folder."""

from __future__ import annotations

import dataclasses

import pytest

from factory.config import Config, load
from factory.config.types import fields_of, is_section, without_none
from factory.errors import ConfigError
from jobs._arguments import RELEASE_ADDRESS
from jobs._catalog import GROUPS, find

WRONG = ["s3://faces//x", "s3:/faces/x", "S3://faces/x", "s3://faces/x y", "http://host:9000/faces"]
NEEDS = {
    "identities.inquiry": ["identities.proposal=inquiry", "identities.inquiry_license=CC0-1.0"],
    "source.heldout": ["source.path=x", "source.kind=folder"],
    "source.path": ["source.kind=webdataset"],
}
AT_RELEASES = [
    name
    for names in GROUPS.values()
    for name in names
    if RELEASE_ADDRESS.name in [subject.name for subject in find(name).subjects]
]
OPTIONS = {
    "compact": ["--as", "2.0.0", "--shard-bytes", "9"],
    "union": ["--as", "2.0.0"],
    "sign": ["--key", "k"],
}


def keys_of_paths(schema=Config, prefix=""):
    for item in dataclasses.fields(schema):
        kind = without_none(fields_of(schema)[item.name])[0]
        if is_section(kind):
            yield from keys_of_paths(kind, f"{prefix}{item.name}.")
        elif item.metadata.get("path"):
            yield prefix + item.name


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty working folder with an empty config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (tmp_path / "c.yaml").write_text("{}\n")
    yield tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]  # no folder called "s3:"


@pytest.mark.parametrize("url", WRONG)
@pytest.mark.parametrize("key", sorted(keys_of_paths()))
def test_every_key_that_takes_a_path_refuses_it(key, url, nowhere):
    typed = f"[{url}]" if key == "base_training.tables" else url
    with pytest.raises(ConfigError) as caught:
        load("c.yaml", [*NEEDS.get(key, []), f"{key}={typed}"])
    line = str(caught.value)
    assert line.startswith(f"{key}: got {url!r}")
    assert "; want " in line
    assert "\n" not in line


@pytest.mark.parametrize("url", WRONG)
@pytest.mark.parametrize("name", AT_RELEASES)
def test_every_job_at_a_release_refuses_it(name, url, nowhere, run_job):
    job = find(name)
    further = {"export": ["imagefolder", "out"], "push": ["owner/name"]}.get(name, [])
    url = f"{url}/d/releases/0.1.0"
    words = [url, *further, *OPTIONS.get(name, []), *(["c.yaml"] if job.load else [])]
    code, said = run_job(name, *words)
    assert code == 1
    assert url.removesuffix("/releases/0.1.0") in said
    assert "; want s3://" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("url", ["s3://faces//x", "s3:/faces/x", "s3://Faces/x", "s3://faces/x "])
def test_a_release_is_not_begun(url, run_job, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    code, said = run_job("release", "configs/demo.yaml", f"store.url={url}", "release.dataset=d")
    assert code == 1
    assert said.startswith(f"error: store.url: got {url!r}")
    assert len(said.strip().splitlines()) == 1


def test_slashes_at_the_end_are_left_alone(nowhere):
    assert load("c.yaml", ["store.url=s3://faces/x/"]).store.url.startswith("s3://faces/x")
    assert load("c.yaml", ["training.out=s3://faces/x/"]).training.out


@pytest.mark.parametrize("key", ["identities.gallery", "audit.embeddings_dir", "fleet.events"])
def test_what_is_kept_on_a_disk_is_sent_to_no_bucket(key, nowhere):
    with pytest.raises(ConfigError, match=rf"^{key}: got 's3://faces/x'; want a local path"):
        load("c.yaml", [f"{key}=s3://faces/x"])


def test_a_target_on_a_disk_is_no_bucket(nowhere, run_job):
    code, said = run_job("export_recognizer", "starter:recognizer", "s3://faces/x")
    assert code == 1
    assert "want a local path" in said
