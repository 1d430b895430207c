"""A field of a section with its default and the range it may have."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any


def knob(default: Any, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field with a default and an inclusive range, checked for every loaded config."""
    return field(default=default, metadata={"low": low, "high": high})
