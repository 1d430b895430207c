"""Units of a sealed release on Ray actors: measured, verified and exported as in this process."""

from __future__ import annotations

import pytest

from factory.config import StoreConfig
from factory.evaluation.leakage import LeakageTally
from factory.evaluation.measuring import measure_units
from factory.evaluation.reduction import CLASS, Reduction
from factory.execution import inline
from factory.execution.unit_jobs import units_on
from factory.shards import layout
from factory.shards.verify import verify
from factory.store import LocalStore
from tests.painted import SPACES, Painting, config_of, paint, runner, yardstick_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
PAINTING = Painting(num_units=9, people=4, images=3)


@pytest.fixture(scope="module")
def fleet(three_cpus):
    from cluster import fleet

    return fleet


def figures(release, config, run_units, folder) -> tuple:
    yardstick = yardstick_of(PAINTING)
    people = yardstick.galleries
    measured = measure_units(config, release, SPACES, people, runner(run_units), lambda line: None)
    folder.mkdir()
    tally = LeakageTally(config.audit, yardstick)
    made = Reduction(folder, 4, tally).add_all(measured.records())
    measured.clear()
    sample = made.sample()
    return (
        tally.finish(lambda unit, row: {"key": f"{unit} {row}"}).metrics,
        made.spaces["judge"].consistency(sample["judge"], sample[CLASS]),
        made.spaces["recognizer"].moments.mean_D.tolist(),
        made.duplicates(),
    )


def test_actors_and_inline_give_the_same_figures(fleet, tmp_path):
    store = LocalStore(tmp_path / "set/releases/1")
    release, config = paint(store, PAINTING), config_of(store)
    here = figures(release, config, inline.run_units, tmp_path / "here")
    assert figures(release, config, fleet.run_units, tmp_path / "actors") == here


def test_actors_verify_what_this_process_verifies(fleet, tmp_path):
    store = LocalStore(tmp_path / "set/releases/1")
    paint(store, PAINTING)
    store.put_once(layout.SUCCESS, b"")
    store.put(layout.metadata_name(4), b"other bytes")
    address = StoreConfig(url=str(store.root))
    wrong = verify(store, do_units=units_on(fleet.run_units), address=address)
    assert wrong == verify(store)
    assert f"{layout.metadata_name(4)} does not have its sha256" in wrong
