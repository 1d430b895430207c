"""Lines of what happened to units."""

import json
import os

from factory.config import FleetConfig
from factory.execution.event_log import EventLog
from factory.execution.inline import run_units
from factory.records import Counts, Shard, Timings
from factory.release import build


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_event(tmp_path):
    events = EventLog(str(tmp_path / "logs" / "events.jsonl"))
    events.write("lost", worker=3, shots_in_hand=[[7, 0, 1]])
    counts = Counts(8, 2, 7, 3, 0, {"blurred": 3})
    events.committed(Shard(5, "h", [], counts, Timings(0.0, 9.0, 7.0, 8.0, 0.5, 2), attempt=1))
    lost, committed = lines(tmp_path / "logs" / "events.jsonl")
    assert lost.pop("time").endswith("+00:00")
    assert lost.pop("pid") == os.getpid()
    assert lost == {"event": "lost", "worker": 3, "shots_in_hand": [[7, 0, 1]]}
    assert committed["unit"] == 5
    assert committed["reasons"] == {"blurred": 3}
    assert (committed["attempt"], committed["retries"], committed["upload_s"]) == (1, 2, 0.5)


def test_nothing_is_said_where_nobody_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    EventLog(FleetConfig().events).write("lost", worker=1)
    assert not list(tmp_path.iterdir())


def test_a_release_tells_of_every_unit(release_config, tmp_path):
    file = tmp_path / "events.jsonl"
    build(release_config(f"fleet.events={file}"), run_units, log=lambda line: None)
    assert sorted(line["unit"] for line in lines(file)) == [0, 1, 2]
    assert all(line["upload_s"] > 0 for line in lines(file))
    assert len({line["plan"] for line in lines(file)}) == 1
