"""Lineages are written and read back whole."""

from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord


def test_a_lineage_survives_its_json():
    source = SourceRecord("folder", "f", 3, 2, True, "CC-BY-4.0", "Somebody")
    network = NetworkRecord("generator", "ab", (source,), {"recognizer": "cd"})
    lineage = Lineage((source,), (network, NetworkRecord("recognizer", "cd", is_told=False)))
    assert Lineage.from_json(lineage.to_json()) == lineage
