"""python -m jobs forget: what it prints, asks and writes."""

from __future__ import annotations

import io
import json

import pytest

from factory.config import SourceConfig
from factory.provenance.withdrawn import withdrawal_of
from factory.shards import layout
from factory.shards.verify import verify
from factory.sources import open_source
from factory.store import LocalStore
from jobs._catalog import find
from tests.conftest import save_recognizer
from tests.withdrawals import write_version


@pytest.fixture
def root(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def forget(*words: str) -> None:
    find("forget").main(list(words))


def test_a_dry_run_lists_what_descends_from_who_withdraws_and_writes_nothing(
    root, people, tmp_path, capsys
):
    source = SourceConfig(kind="folder", path=str(people), image_px=32)
    fingerprint = open_source(source).fingerprint
    names = ("person_0", "person_1", "person_2")
    write_version(root, names=names, fingerprint=fingerprint)
    save_recognizer(tmp_path / "runs" / "recognizer", seed=1)
    metadata = tmp_path / "runs" / "recognizer" / "checkpoint.json"
    body = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(body | {"metrics": {"hours": 1.25}}))
    (tmp_path / "source.yaml").write_text(
        f"source:\n  kind: folder\n  path: {people}\n  image_px: 32\n"
    )
    before = root.list("")
    arguments = ["--source", str(tmp_path / "source.yaml"), "--networks", str(tmp_path / "runs")]
    forget(f"{root.url}/tiny", "person_1", *arguments, "--dry-run")
    shown = capsys.readouterr().out
    assert "tiny 0.1.0: 2 images of them (class 3, units [1]); a successor without them" in shown
    assert f"1. recognizer {body['sha256'][:12]} ({tmp_path}/runs/recognizer): 1.25 h" in shown
    assert "training them again in this order: 1.25 h" in shown
    assert "remove their row from the table of source.consent" in shown
    assert shown.endswith("nothing is written or deleted\n")
    assert root.list("") == before


def test_it_withdraws_and_deletes_after_a_confirmation(root, capsys, monkeypatch):
    write_version(root)
    before = root.list("")
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    with pytest.raises(SystemExit) as raised:
        forget(f"{root.url}/tiny", "cem", "--delete")
    assert "not confirmed, so nothing was written or deleted" in str(raised.value)
    assert root.list("") == before
    monkeypatch.setattr("sys.stdin", io.StringIO("0.1.0\n"))
    forget(f"{root.url}/tiny", "cem", "--delete", "--version", "0.2.0")
    old = root.below("tiny/releases/0.1.0")
    assert withdrawal_of(old).successor == "0.2.0"
    assert not old.exists(layout.tar_name(2))
    assert verify(root.below("tiny/releases/0.2.0")) == []
    assert "0.1.0/data/train-000002.tar" in capsys.readouterr().out


def test_verify_ends_with_a_withdrawn_version_as_wrong(root, capsys):
    write_version(root)
    forget(f"{root.url}/tiny", "cem")
    with pytest.raises(SystemExit):
        find("verify").main([f"{root.url}/tiny/releases/0.1.0"])
    assert "the release was withdrawn on" in capsys.readouterr().out
    find("verify").main([f"{root.url}/tiny/releases/0.1.1"])


def test_somebody_who_is_not_in_the_source_cannot_withdraw(root, people, tmp_path):
    write_version(root)
    (tmp_path / "source.yaml").write_text(
        f"source:\n  kind: folder\n  path: {people}\n  image_px: 32\n"
    )
    with pytest.raises(SystemExit, match="nobody of this name is among its 4 people"):
        forget(f"{root.url}/tiny", "cem", "--source", str(tmp_path / "source.yaml"))
