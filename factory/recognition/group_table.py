"""Which group an image or a person is of, from a table that a person brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.errors import SourceError
from factory.tables import Table, UserFile, nfc

GROUP = "group"
BY = ("key", "person")
"""What a table may go by: images by their keys, or people by their names."""


@dataclass(frozen=True)
class GroupTable:
    """Groups of images or of people."""

    by: str
    """One of BY."""
    group_of: dict[str, str]

    def of(self, keys: Sequence[str], people: Sequence[str | None]) -> tuple[str | None, ...]:
        """The group of each image; None for one that the table does not know.

        Raises SourceError where it knows none of them.
        """
        found = tuple(
            self.group_of.get(nfc(name)) if name is not None else None
            for name in (keys if self.by == "key" else people)
        )
        if not any(found):
            hint = ""
            if self.by == "person" and not any(people):
                hint = ", as nobody is named in a .bin, whose images are 000000, 000001, ... by key"
            raise SourceError(
                f"source.groups: none of the {len(found)} images of the pairs is in it by "
                f"{self.by}{hint}; want a table of these images or people"
            )
        return found


def read_groups(path: str) -> GroupTable:
    """The groups of a CSV with columns group, and key or person.

    Raises SourceError for other columns, a repeated or empty name, and an empty group.
    """
    file = UserFile("source.groups", path, "a CSV with two columns, key or person, and group")
    table = Table(file)
    by = [name for name in BY if set(table.columns) == {name, GROUP}]
    if not by:
        raise file.refuse(f"has {len(table.columns)} columns, other ones", 1)
    place = table.columns.index(GROUP)
    for line, cells in table.rows():
        if not cells[place]:
            raise file.refuse("has an empty group; leave out rows without one", line)
    rows = table.keyed(by[0])
    return GroupTable(by[0], {name: row[GROUP] for name, row in rows.items()})
