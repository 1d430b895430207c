"""Networks that carry a person who withdraws, and what training them again takes."""

from __future__ import annotations

import pytest

from factory.provenance.carriers import (
    Network,
    Sources,
    _hours,
    carriers,
    cost_lines,
    networks_below,
    told_of,
)
from factory.provenance.lineage import NetworkRecord, SourceRecord, networks_to_list
from tests.conftest import save_recognizer


def learned(fingerprint: str, release: str = "") -> SourceRecord:
    return SourceRecord("folder", fingerprint, 10, 5, True, release=release)


def network(role: str, *sources: SourceRecord, hours: float | None = None, **trained_with: str):
    return Network(NetworkRecord(role, role, sources, trained_with), f"runs/{role}", hours=hours)


HOLDS = [
    ("f", 3, "f", True),
    ("f", 3, "g", False),
    ("f", 3, "f[0:4]", True),
    ("f", 3, "f[4:9]", False),  # who was held out is not learned from
    ("f", 3, "f[2:9][0:1]", False),
    ("f", 3, "f[2:9][1:3]", True),
    ("f[2:9]", 1, "f[2:9][1:3]", True),  # place 1 of that part is place 3 of the whole
    ("f[2:9]", 1, "f[0:3]", False),
    ("f", None, "f[4:9]", True),  # not known, so taken to be so
]


@pytest.mark.parametrize(("fingerprint", "label", "of", "expected"), HOLDS)
def test_which_sets_hold_a_person_who_withdraws(fingerprint, label, of, expected):
    assert Sources({fingerprint: label}).hold(learned(of)) == expected


def test_all_that_was_trained_with_a_carrier_carries_in_the_order_of_training():
    networks = [
        network("editor", hours=None, generator="generator"),
        network("generator", learned("f"), hours=2.0, autoencoder="autoencoder"),
        network("autoencoder", learned("f"), hours=0.5),
        network("judge", learned("other"), hours=9.0),
        network("bystander", hours=9.0, judge="judge"),
    ]
    found = carriers(networks, Sources({"f": None}), {"anna"})
    assert [one.record.role for one in found] == ["autoencoder", "generator", "editor"]
    lines = cost_lines(found)
    assert lines[0] == "1. autoencoder autoencoder (runs/autoencoder): 0.50 h"
    assert lines[2].endswith("hours not known")
    assert lines[3] == (
        "training them again in this order: 2.50 h, and 1 whose hours are not known"
    )


def test_networks_that_learned_from_a_release_with_the_person_carry_them_when_they_withdraw():
    by_release = network("recognizer", learned("r", "tiny 0.1.0"))
    other = network("other", learned("r", "tiny 0.2.0"))
    found = carriers([by_release, other], Sources({}, {"tiny 0.1.0"}), set())
    assert found == [by_release]


def test_checkpoints_at_hand_tell_more_than_lineages_of_who_withdraws(tmp_path):
    """Hours come from the checkpoint, what it learned from out of either."""
    digest = save_recognizer(tmp_path / "runs" / "recognizer", seed=1)
    (at_hand,) = networks_below(str(tmp_path / "runs"))
    assert at_hand.record.sha256 == digest
    assert "person_2" in at_hand.names
    told = told_of([NetworkRecord("recognizer", digest, (learned("f"),))], "tiny 0.1.0")
    (merged,) = carriers([*told, at_hand], Sources({"f": None}), set())
    assert (merged.is_here, merged.record.learned_from) == (True, (learned("f"),))
    assert carriers([at_hand], Sources({}), {"person_2"}) == [at_hand]  # by its class
    assert carriers([at_hand], Sources({}), {"person_9"}) == []


def test_ancestors_in_a_checkpoint_are_known_when_somebody_withdraws(tmp_path):
    import json

    own = NetworkRecord("generator", "1" * 64, (), {"autoencoder": "2" * 64})
    ancestor = NetworkRecord("autoencoder", "2" * 64, (learned("f"),))
    body = {"kind": "generator", "sha256": "1" * 64, "lineage": {}, "config": {}}
    body |= {"metrics": {"hours": 1.5}, "provenance": networks_to_list([own, ancestor])}
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator" / "checkpoint.json").write_text(json.dumps(body))
    found = carriers(networks_below(str(tmp_path)), Sources({"f": 0}), set())
    assert [(one.record.role, one.hours) for one in found] == [
        ("autoencoder", None),
        ("generator", 1.5),
    ]


@pytest.mark.parametrize(
    ("metrics", "hours"),
    [
        ({"hours": 0.5}, 0.5),
        ({"train": {"hours": 0.25}}, 0.25),
        ({}, None),
        ({"hours": "n/a"}, None),
    ],
)
def test_hours_of_a_training_are_read_as_each_kind_of_network_keeps_them(metrics, hours):
    """Those that a withdrawal names: recognizers keep theirs beside what they learned from."""
    assert _hours({"metrics": metrics}) == hours
