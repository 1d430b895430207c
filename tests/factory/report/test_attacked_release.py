"""An attack on the generator of a release that was never measured, or measured in part."""

from __future__ import annotations

import pytest

from factory.config import Config, ReleaseConfig, StoreConfig
from factory.errors import IntegrityError
from factory.evaluation.metrics.release import NO_VERDICT
from factory.report.attack import verdict
from factory.report.attacked_release import add_attack, attacked_release
from factory.shards import layout, manifest
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.store import LocalStore
from tests.measured import attack, full_metrics
from tests.withdrawals import write_version


@pytest.fixture
def successor(tmp_path):
    """(config, store) of the successor of a version that somebody withdrew from."""
    write_version(LocalStore(tmp_path))
    find(f"{tmp_path}/tiny", "anna").write("2026-11-26", lambda line: None)
    config = Config(
        store=StoreConfig(url=str(tmp_path)), release=ReleaseConfig(dataset="tiny", version="0.1.1")
    )
    return config, layout.release_store(config)


def drew(store) -> str:
    return manifest.read_plan(store).request.weights.get("generator", "none")


def test_an_attack_on_a_successor_of_a_withdrawal_leaves_its_card(successor):
    config, store = successor
    card = store.get(layout.CARD)
    assert b"nothing is measured of this version" in card.replace(b"\n  ", b" ")
    add_attack(config, attacked_release(config, drew(store)), attack())
    assert store.get(layout.CARD) == card
    assert "  metrics/attack.json\n" in store.get(layout.EXTRA_SUMS).decode()
    assert verify(store) == []


def test_an_attack_lands_in_the_card_of_a_release_without_a_verdict_of_its_audit(successor):
    """As an older factory measured it."""
    config, store = successor
    files = full_metrics().files()
    del files["audit"]
    manifest.put_metrics(store, files)
    add_attack(config, attacked_release(config, drew(store)), attack())
    assert verify(store) == []
    card = store.get(layout.CARD).decode()
    assert verdict(attack()) in card
    assert f"not established: {NO_VERDICT.reason}" in card


def test_an_attack_finds_metrics_that_lack_something_before_it_begins(successor):
    config, store = successor
    store.put(layout.metrics_name("counts"), b'{"planned": 1, "kept_fraction": 1.0}')
    with pytest.raises(IntegrityError, match=r"metrics: Metrics has no .*measure the release"):
        attacked_release(config, drew(store))
