"""A release that is a test set, from config to seal: pairs, marks, hardness, who may read it."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.hardness import SetHardness
from factory.evaluation.metrics.json_form import from_json
from factory.shards import layout
from factory.shards.compact import Cut, compact
from factory.shards.manifest import read_plan
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.sources import open_source
from factory.store import LocalStore
from tests.conftest import PX
from tests.factory.test_release import make
from tests.factory.test_rendered_release import with_known_pixels
from tests.rendered import rendered_config

SETTINGS = (
    "release.kind=benchmark",
    "pairs.bins={brightness: [0, 1000]}",
    "pairs.lookalike_cosine=[-1, 1]",
)


def test_benchmark_release_from_config_to_seal(release_config):
    store, _ = make(release_config(*SETTINGS))
    assert verify(store) == []
    names = [name.removeprefix("pairs/") for name in store.list("pairs/")]
    sets = ["brightness-0-1000", "lookalikes"]
    lists = ["gallery.csv", "index.json", "probes.csv"]
    assert sorted(names) == sorted([*lists, *(f"{n}.{s}" for n in sets for s in ("bin", "csv"))])
    plan = read_plan(store)
    assert plan is not None
    assert plan.request.pairs is not None
    measured = from_json(dict[str, SetHardness], json.loads(store.get("metrics/hardness.json")))
    assert sorted(measured) == sets
    assert measured["lookalikes"].num_pairs == 12
    assert list(measured["lookalikes"].by) == ["recognizer", "judge"]
    card = store.get(layout.CARD).decode()
    assert "Never train on this release: it is a test set." in card
    assert "| lookalikes | 12 | 6 |" in card
    assert "Training and testing" not in card
    assert "pairs/gallery.csv" in store.get(layout.SUMS).decode()
    source = SourceConfig(kind="webdataset", path=str(store.root), image_px=PX)
    with pytest.raises(SourceError, match="never to be trained on"):
        open_source(source)
    compact(LocalStore(store.root.parent.parent), "0.1.0", "0.2.0", Cut(4))
    again = store.beside("0.2.0")
    assert verify(again) == []
    assert json.loads(again.get(layout.MANIFEST))["kind"] == "benchmark"
    same = [name for name in store.list("pairs/") if store.get(name) == again.get(name)]
    assert same == store.list("pairs/")


def test_a_training_release_has_no_pairs(release_config):
    with pytest.raises(ConfigError, match=r"^release\.kind: got training with settings"):
        release_config(*SETTINGS[1:])


def test_rendered_people_are_binned_by_what_the_renderer_knows(weights, tmp_path, monkeypatch):
    pytest.importorskip("mitsuba")
    with_known_pixels(monkeypatch)
    bins = "pairs.bins={yaw: [0, 180], light: [], glasses: []}"
    store, _ = make(rendered_config(weights, tmp_path, *SETTINGS, bins))
    assert verify(store) == []
    rows = [row for unit in (0, 1) for row in metadata_rows(store, unit)]
    wanted = {}
    for column, name in (("light", "same"), ("light", "different"), ("glasses", "same")):
        equal = [
            (a["identity"] == b["identity"])
            for a, b in combinations(rows, 2)
            if (a[column] == b[column]) == (name == "same")
        ]
        wanted[f"{column}-{name}"] = 2 * min(sum(equal), len(equal) - sum(equal))
    numbers = json.loads(store.get("pairs/index.json"))["num_pairs"]
    assert {name: numbers[name] for name in wanted} == wanted
    assert numbers["yaw-0-180"] == 8
    assert numbers["lookalikes"] == 8
