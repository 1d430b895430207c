"""What a release would take, from rates and prices in the config or from the last release."""

from __future__ import annotations

import json

import pytest

from factory.execution.inline import run_units
from factory.planning.estimate import describe_estimate, describe_forecast, estimate, on_a_cluster
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards import layout
from factory.store import open_store


def reckon(config):
    dataset = open_store(config.store).below(config.release.dataset)
    return estimate(config, preflight(config), dataset)


def test_hours_and_cost_from_configured_prices(release_config, tmp_path):
    config = release_config(
        "identities.num_virtual=7",
        "estimate.faces_per_s=0.5",
        "estimate.kept_fraction=0.8",
        "estimate.face_bytes=5000",
        "estimate.actor_hour=2",
        "estimate.gb_month=0.02",
    )
    result = reckon(config)
    assert (result.units, result.shots, result.at_most) == (4, 14, False)
    assert result.shots_with_topups == pytest.approx(14 / 0.8)
    assert result.actor_hours == pytest.approx(14 / 0.8 / 0.5 / 3600)
    assert result.cost == pytest.approx(2 * result.actor_hours)
    assert result.cost_per_month == pytest.approx(14 * 5000 / 1e9 * 0.02)
    assert not (tmp_path / "store").exists()


def test_unknown_rates_are_said_to_be_unknown(release_config):
    config = release_config()
    lines = describe_estimate(reckon(config), config)
    assert any("no earlier release of this dataset" in line for line in lines)
    assert any("time         unknown" in line for line in lines)


def test_rates_of_the_last_release_serve_the_next(release_config):
    build(release_config(), run_units, log=lambda line: None)
    config = release_config("release.version=0.2.0", "estimate.actor_hour=1")
    result = reckon(config)
    assert result.rates.origin == "as measured in release 0.1.0"
    assert result.rates.kept_fraction == 1.0
    assert result.cost > 0
    done = reckon(release_config())
    assert (done.units, done.shots) == (3, 12)


def test_measured_rates_are_those_of_one_maker_and_of_a_kept_face(release_config):
    build(release_config(), run_units, log=lambda line: None)
    store = open_store(release_config().store)
    release = store.below(layout.release_prefix("tiny", "0.1.0"))
    speed = json.loads(release.get("metrics/throughput.json"))
    speed |= {"faces_per_s": 8.0, "mean_makers_at_work": 4.0}
    release.put("metrics/throughput.json", json.dumps(speed).encode())
    body = json.loads(release.get(layout.MANIFEST))
    body["counts"] |= {"planned": 12, "topups": 12, "kept": 6, "rejected": 18}
    release.put(layout.MANIFEST, json.dumps(body).encode())
    num_bytes = sum(file["size"] for shard in body["shards"] for file in shard["files"])

    rates = reckon(release_config("release.version=0.2.0")).rates
    assert rates.faces_per_s == pytest.approx(2.0)
    assert rates.kept_fraction == pytest.approx(0.25)
    assert rates.face_bytes == pytest.approx(num_bytes / 6)
    # A rate that is configured wins, and the others stay measured.
    mixed = reckon(release_config("release.version=0.2.0", "estimate.kept_fraction=0.9")).rates
    assert (mixed.kept_fraction, mixed.faces_per_s) == (0.9, pytest.approx(2.0))


def test_a_cluster_that_is_only_thought_of(release_config):
    rates = ["estimate.faces_per_s=1", "estimate.kept_fraction=1", "estimate.face_bytes=1000"]
    config = release_config(
        *rates, "estimate.num_nodes=2", "estimate.open_s=0", "estimate.node_hour=3"
    )
    forecast = on_a_cluster(reckon(config), config)
    assert forecast.hours * 3600 == pytest.approx(8, abs=0.1)  # 3 units of 4 shots on 2 nodes
    assert any("2 nodes x 1 GPUs" in line for line in describe_forecast(forecast, config))
    assert on_a_cluster(reckon(release_config(*rates)), release_config(*rates)) is None
