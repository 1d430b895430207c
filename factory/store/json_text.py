"""JSON as others can read it: no NaN and no Infinity, which are no JSON (RFC 8259, section 6)."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(value: Any, **style: Any) -> str:
    """Plain values as JSON, laid out as json.dumps does with `style`.

    A figure that is no finite number becomes null; in an object the reason stands beside it, under
    its key with `_note`.
    """
    return json.dumps(_finite(value), allow_nan=False, **style)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        plain: dict[Any, Any] = {}
        for key, part in value.items():
            plain[key] = _finite(part)
            if part is not None and plain[key] is None:
                plain.setdefault(f"{key}_note", _reason(part))
        return plain
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reason(value: float) -> str:
    return "n/a: not a number" if math.isnan(value) else "n/a: infinite"
