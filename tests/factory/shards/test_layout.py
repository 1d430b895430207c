"""Names of a release: to whom a file belongs."""

from __future__ import annotations

import pytest

from factory.shards import layout


@pytest.mark.parametrize("unit", [0, 7, 123_456])
def test_every_file_of_a_unit_tells_its_unit(unit):
    names = (*layout.files_of(unit), layout.commit_name(unit), layout.quarantine_name(unit))
    assert len(set(names)) == len(names)
    assert {layout.unit_of(name) for name in names} == {unit}


@pytest.mark.parametrize(
    "name",
    [
        layout.PLAN,
        layout.MANIFEST,
        layout.proof_name(3, "123456"),
        "data/other-000001.tar",
        "report/000001.html",
    ],
)
def test_other_files_belong_to_no_unit(name):
    assert layout.unit_of(name) is None
