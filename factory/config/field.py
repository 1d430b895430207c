"""A field of a section: its default, the range it may have, whether it names a file."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, Literal

Names = Literal["checkpoint", "hub_model", "detector"]
"""What a field may hold instead of a path: a checkpoint by a name that insightface, dlib or this
package knows it by, a model by its id on the hub, or STARTER, the detector of this package."""
STARTER = "starter"


def knob(default: Any, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field with a default and an inclusive range, checked for every loaded config."""
    return field(default=default, metadata={"low": low, "high": high})


def file_path(
    default: Any = None,
    *,
    or_name: Names | None = None,
    images: bool = False,
    only_local: bool = False,
) -> Any:
    """A field that names a file or a folder, or a tuple of them.

    Paths are made absolute for processes that start in another folder. A name that is allowed
    instead (`or_name`) stays as it is, and so do s3:// addresses and starter:NAME. Files of
    `images` count by their names and sizes, all others by their bytes. Every address is checked for
    its spelling (rules.py); one that is `only_local` may be none of a bucket.
    """
    facts = {"path": True, "or_name": or_name, "images": images, "only_local": only_local}
    return field(default=default, metadata=facts)
