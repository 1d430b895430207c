"""What quarantine/ publishes says nothing of the machine, its user, or values of variables."""

from __future__ import annotations

import getpass
import importlib.util
import json
import socket
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from factory.records import Counts, Failure, Timings, UnitResult
from factory.shards import layout, tracebacks, writer
from factory.shards.tracebacks import without_machine
from factory.store import LocalStore
from tests.planned import REQUEST, shots_of


def raised_in(folder: Path) -> Failure:
    """A failure in a user's own file, by way of this package and one of site-packages."""
    file = folder / "site-packages" / "foreign" / "network.py"
    file.parent.mkdir(parents=True)
    file.write_text("def draw(secret):\n    return open(secret)\n")
    spec = importlib.util.spec_from_file_location("network", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    own = folder / "my code.py"
    own.write_text("def call(draw, path):\n    draw(path)\n")
    spec = importlib.util.spec_from_file_location("own", own)
    caller = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(caller)
    secret = str(folder / "private" / "faces of")
    try:
        LocalStore(folder).stream("x")
        json.loads(json.dumps({"a": caller.call(module.draw, secret)}))
    except OSError as error:
        shot = shots_of(REQUEST, [(0, 0)])[0]
        return Failure(shot, f"{error!r} at {secret}/x.png", traceback.format_exc())
    raise AssertionError


def test_a_quarantined_shot_tells_no_path_user_or_host(tmp_path, monkeypatch):
    home = tmp_path / "home" / "alice.doe"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(getpass, "getuser", lambda: "alice.doe")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-node-17")
    failure = raised_in(home / "work space")
    failure = replace(failure, error=f"{failure.error} on gpu-node-17, alice.doe")
    store = LocalStore(tmp_path / "release")
    counts, timings = Counts(1, 0, 0, 0, 1), Timings(0.0, 1.0, 0.5, 0.7)
    writer.commit_files(store, UnitResult(0, "p", counts, timings, failures=[failure]), {})
    published = store.get(layout.quarantine_name(0)).decode()
    for private in ("alice", "gpu-node", "home", "work space", "private", str(tmp_path), "/work/"):
        assert private not in published, private
    line = json.loads(published)
    assert 'File "site-packages/foreign/network.py", line 2, in draw' in line["traceback"]
    assert 'File ".../my code.py", line 2, in call' in line["traceback"]
    assert 'File "tests/factory/shards/test_tracebacks.py", line' in line["traceback"]
    assert "return open(secret)" in line["traceback"]
    assert line["error"].startswith("FileNotFoundError(2, 'No such file or directory')")
    assert line["shot"]["key"] == "000000_0000"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f'File "{tracebacks.ROOT}/factory/records.py", line 3',
            'File "factory/records.py", line 3',
        ),
        (f'File "{json.__file__}", line 3', 'File "python/json/__init__.py", line 3'),
        ("cannot open /data/bob/faces/a.png: denied", "cannot open .../a.png: denied"),
        ("no folder '/home/carol'", "no folder '...'"),
        ("no folder ~/secret here", "no folder ... here"),
        ("file:///mnt/x/y.bin", ".../y.bin"),
        ("(/opt/a/b.so+0x12)", "(.../b.so+0x12)"),
        ("s3://bucket/prefix/x and https://a.b/c/d stay", None),
        ("x = a / b / c  # 1/2/3", None),
        ("shape [3, 4] in/out", None),
    ],
)
def test_paths_are_shortened_and_nothing_else(text, told):
    assert without_machine(text) == (text if told is None else told)
