"""JSON as others can read it: no NaN and no Infinity, which are no JSON (RFC 8259, section 6)."""

from __future__ import annotations

import json
import math
from typing import Any

NOT_A_NUMBER, INFINITE = "n/a: not a number", "n/a: infinite"


def json_text(value: Any, **style: Any) -> str:
    """Plain values as JSON, laid out as json.dumps does with `style`.

    A figure that is no finite number becomes null; in an object the reason stands beside it, under
    its key with `_note`. Of a list with such figures the reasons stand under the list's key.
    """
    return json.dumps(_finite(value), allow_nan=False, **style)


def is_no_number(note: str) -> bool:
    """Whether a note is the reason that json_text gives for a figure that is no finite number."""
    return note in (NOT_A_NUMBER, INFINITE)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        plain: dict[Any, Any] = {}
        for key, part in value.items():
            plain[key] = _finite(part)
            if reasons := _reasons(part):
                plain.setdefault(f"{key}_note", "; ".join(sorted(reasons)))
        return plain
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if _is_no_number(value) else value


def _reasons(value: Any) -> set[str]:
    """Why a figure, or figures in a list and in lists of it, are null; objects tell their own."""
    if isinstance(value, list | tuple):
        return set[str]().union(*map(_reasons, value))
    if not _is_no_number(value):
        return set()
    return {NOT_A_NUMBER if math.isnan(value) else INFINITE}


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
