"""How the tests are divided among the workers of pytest-xdist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

SERVERS = {
    "ray": re.compile(r"\bmark\.ray\b"),
    "s3": re.compile(r"\bmark\.s3\b|\bs3_(config|endpoint)\b"),
}
"""How a file shows that its tests start Ray, or a bucket."""


class OneWorkerEach(LoadScopeScheduling):
    """Keeps the tests of a file in one worker, those of all that start Ray too, and all with S3.

    So files share their fixtures, and never two clusters stand on a machine at once.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@cache
def group_of(file: str) -> str:
    """The name of what is kept together with a file of tests."""
    text = (Path(__file__).parents[1] / file).read_text()
    return next((name for name, shows in SERVERS.items() if shows.search(text)), file)
