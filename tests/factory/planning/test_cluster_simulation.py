"""The model against arithmetic, where arithmetic can tell."""

from __future__ import annotations

import pytest

from factory.config import EstimateConfig
from factory.planning.cluster_simulation import Work, simulate


def cluster(**settings) -> EstimateConfig:
    plain = {"num_nodes": 1, "open_s": 0.0, "driver_s": 0.0, "upload_bytes_per_s": 1e12}
    return EstimateConfig(**plain | settings)


def seconds(config: EstimateConfig, each: int, work: Work) -> float:
    return simulate(config, each, work).hours * 3600


def test_alike_units_on_alike_actors():
    assert seconds(cluster(), 1, Work(10, 7.0, 1.0)) == pytest.approx(70)
    assert seconds(cluster(num_nodes=2), 2, Work(10, 7.0, 1.0)) == pytest.approx(21)
    assert seconds(cluster(open_s=5.0), 1, Work(10, 7.0, 1.0)) == pytest.approx(75)


def test_nothing_is_idle_but_the_end():
    forecast = simulate(cluster(num_nodes=3), 1, Work(10, 7.0, 0.0))
    assert forecast.idle_fraction == pytest.approx(1 - 10 / 12)
    assert (forecast.preemptions, forecast.lost_fraction) == (0, 0.0)
    assert forecast.node_hours == pytest.approx(3 * forecast.hours)


def test_uploads_hide_behind_drawing_until_the_uplink_is_slower():
    quick, slow = cluster(upload_bytes_per_s=1.0), cluster(upload_bytes_per_s=0.1)
    assert seconds(quick, 1, Work(10, 2.0, 1.0)) == pytest.approx(21)  # the last one shows
    assert seconds(slow, 1, Work(10, 2.0, 1.0)) == pytest.approx(102)  # but for the first drawing
    # Two nodes have two uplinks.
    both = cluster(num_nodes=2, upload_bytes_per_s=0.1)
    assert seconds(both, 1, Work(10, 2.0, 1.0)) == pytest.approx(52)


def test_one_driver_serves_them_all():
    forecast = simulate(cluster(num_nodes=50, driver_s=1.0), 1, Work(500, 10.0, 0.0))
    assert forecast.driver_fraction > 0.95
    assert forecast.hours * 3600 == pytest.approx(510, rel=0.01)
    free = simulate(cluster(num_nodes=5, driver_s=0.001), 1, Work(500, 10.0, 0.0))
    assert free.driver_fraction < 0.01


def test_preempted_nodes_cost_what_they_had_and_everything_is_made():
    calm = simulate(cluster(num_nodes=4), 2, Work(400, 600.0, 0.0))
    wild = simulate(
        cluster(num_nodes=4, preemptions_per_day=20.0, node_start_s=300.0, open_s=30.0),
        2,
        Work(400, 600.0, 0.0),
    )
    assert wild.preemptions > 5
    assert 0.02 < wild.lost_fraction < 0.5
    assert wild.hours > calm.hours
    # A unit of 600 s at a rate of 20 a day is lost by about 600/2 s of every 4320 s.
    assert wild.lost_fraction == pytest.approx(300 / 4320, rel=0.6)


def test_the_same_seed_gives_the_same_run():
    config = cluster(num_nodes=3, preemptions_per_day=50.0)
    first, second, other = (simulate(config, 1, Work(50, 500.0, 1.0), seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_it_grows_linearly():
    config = cluster(num_nodes=100)
    small, large = (simulate(config, 8, Work(units, 30.0, 1e6)) for units in (8_000, 16_000))
    assert large.hours == pytest.approx(2 * small.hours, rel=0.01)


def test_an_actor_loses_at_most_the_unit_it_draws_and_two_that_are_not_committed():
    work = Work(100, 100.0, 1.0)
    config = cluster(num_nodes=4, preemptions_per_day=20.0, upload_bytes_per_s=0.0025)
    forecast = simulate(config, 1, work)
    useful_s = work.num_units * work.draw_s
    lost_s = useful_s / (1 - forecast.lost_fraction) - useful_s
    most_s = 3 * work.draw_s * forecast.preemptions
    assert 0.5 * most_s < lost_s <= most_s  # the uplink is slow, so that they mostly hold as many
