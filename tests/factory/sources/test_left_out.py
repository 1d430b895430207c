"""What is left out is counted by reason, said without names, and refuses where it is much."""

from __future__ import annotations

import pytest

from factory.errors import SourceError
from factory.sources.left_out import (
    EXAMPLES,
    LOOSE_FILE,
    SYSTEM_FILE,
    UNKNOWN_FORMAT,
    Tally,
    check_little_left_out,
)


def test_a_reason_has_its_count_and_its_first_names():
    tally = Tally()
    for number in range(EXAMPLES + 5):
        tally.add(LOOSE_FILE, f"{number}.jpg")
    tally.add(SYSTEM_FILE, "__MACOSX", 7)
    system, loose = tally.all()
    assert (system.count, loose.count, len(loose.first)) == (7, EXAMPLES + 5, EXAMPLES)
    assert "0.jpg" not in loose.line


@pytest.mark.parametrize(("read", "refused"), [(19, False), (18, True)])
def test_more_than_the_limit_refuses_the_source(read, refused):
    """One of twenty is .05 of all that is there."""
    tally = Tally()
    tally.add(UNKNOWN_FORMAT, "a.heic")
    tally.add(SYSTEM_FILE, ".DS_Store", 1000)
    if not refused:
        return check_little_left_out(tally.all(), read, 0.05)
    with pytest.raises(SourceError, match=r"source.max_left_out_fraction: 1 of 19 are not read"):
        check_little_left_out(tally.all(), read, 0.05)


def test_parts_of_a_source_are_counted_together():
    shard, whole = Tally(), Tally()
    shard.add("no_label", "a", 5)
    shard.add("no_label", "b")
    whole.add("no_label", "c")
    whole.merge(shard.all(), "x.tar")
    whole.merge(shard.all())
    (part,) = whole.all()
    assert part.count == 13
    assert part.first == ("c", "x.tar/a", "x.tar/b", "a", "b")
