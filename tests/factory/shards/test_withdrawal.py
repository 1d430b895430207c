"""What a withdrawal writes and says, in a folder and in a bucket."""

from __future__ import annotations

import io
import json

import pytest

from factory.config import SourceConfig
from factory.errors import PlanError, SourceError
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.provenance.withdrawn import WITHDRAWN
from factory.shards.export import export
from factory.shards.reader import metadata_rows
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.shards.withdrawal import confirm, find
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import open_store
from tests.withdrawals import (
    KEY,
    TODAY,
    forget,
    version_of,
    write_version,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_a_withdrawn_version_says_so_wherever_it_is_read(root, tmp_path):
    write_version(root)
    forget(root, "cem")
    old = version_of(root, "0.1.0")
    (problem,) = verify(old)
    assert problem.startswith(f"{WITHDRAWN}: the release was withdrawn on {TODAY}")
    assert problem.endswith("use its successor 0.1.1")
    with pytest.raises(SourceError, match=r"withdrawn on .*use its successor 0\.1\.1"):
        ReleaseStream(old)
    assert len(ReleaseStream(old, allow_withdrawn=True)) == 16
    config = SourceConfig(kind="webdataset", path=old.url, image_px=16)
    with pytest.raises(SourceError, match=r"successor 0\.1\.1 \(source\.allow_withdrawn=true"):
        open_source(config)
    allowed = SourceConfig(kind="webdataset", path=old.url, image_px=16, allow_withdrawn=True)
    assert len(open_source(allowed)) == 16
    with pytest.raises(SourceError, match=r"release: .* was withdrawn"):
        export(old, "imagefolder", tmp_path / "out")
    assert ("withdrawn", f"on {TODAY} (people in it withdrew their consent); use its successor "
            "0.1.1") in StatusReader(old).read().rows(0.0, None)  # fmt: skip
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.1"


def test_nothing_of_a_name_is_written(root, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    write_version(root)
    before = set(root.list(""))
    forget(root, "anna")
    written = {name: root.get(name) for name in root.list("") if name not in before}
    assert f"tiny/releases/0.1.0/{WITHDRAWN}" in written
    called = {b"anna", pseudonym(KEY.encode(), "anna").encode()}
    assert not [name for name, data in written.items() for word in called if word in data]


def test_a_confirmation_is_the_versions(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("0.1.0 0.2.0\n0.1.0\n"))
    confirm(["0.1.0", "0.2.0"])
    for _ in range(2):  # others, then no line at all
        with pytest.raises(PlanError, match="not confirmed, so nothing was written or deleted"):
            confirm(["0.1.0", "0.2.0"])


@pytest.mark.s3
def test_withdrawal_in_a_bucket(s3_config, monkeypatch):
    config = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", config.endpoint_url)
    root = open_store(config)
    write_version(root)
    settings = ["store.path_style=true"]
    for _ in range(2):
        withdrawal = find(f"{config.url}/tiny", "cem", settings)
        withdrawal.write(TODAY, lambda line: None)
    assert "a bucket that keeps versions of objects" in withdrawal.lines(True)[-1]
    withdrawal.delete(TODAY, lambda line: None)
    new = version_of(root, "0.1.1")
    assert verify(new) == []
    assert {row["identity"] for row in metadata_rows(new, 2)} == {5}
    assert "was deleted on" in verify(version_of(root, "0.1.0"))[0]
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.1"
