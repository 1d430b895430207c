"""Metrics as plain JSON and back: a dataclass is an object whose keys are its fields.

Metrics that an older factory wrote are read by their old names (older.py).
"""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from factory.errors import IntegrityError
from factory.evaluation.metrics.older import in_current_layout
from factory.evaluation.metrics.values import NotMeasured

Metric = TypeVar("Metric")


def to_json(value: Any) -> Any:
    """Plain nested values, ready for JSON, of dataclasses in dictionaries and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[Metric], body: Any) -> Metric:
    """The metrics of a type (a dataclass, or a dictionary of them) that a JSON holds.

    Raises IntegrityError for a JSON that lacks what the type has.
    """
    return cast(Metric, _read(kind, body))


def _read(hint: Any, body: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, body)
    if origin is dict:
        return {key: _read(arguments[1], item) for key, item in body.items()}
    if origin is list:
        return [_read(arguments[0], item) for item in body]
    if origin is tuple:
        return tuple(_read(part, item) for part, item in zip(arguments, body, strict=True))
    return _read_dataclass(hint, body) if is_dataclass(hint) else body


def _read_union(kinds: tuple[Any, ...], body: Any) -> Any:
    """One of several types: None, the reason why nothing was measured, or what was."""
    if body is None and type(None) in kinds:
        return None
    if NotMeasured in kinds and isinstance(body, dict) and "note" in body:
        return NotMeasured(body["note"])
    return _read(next(kind for kind in kinds if kind not in (type(None), NotMeasured)), body)


def _read_dataclass(kind: Any, body: dict[str, Any]) -> Any:
    body, hints = in_current_layout(kind.__name__, body), _hints(kind)
    values = {}
    for item in fields(kind):
        if item.name in body:
            values[item.name] = _read(hints[item.name], body[item.name])
        elif item.default is MISSING:
            raise IntegrityError(
                f"metrics: {kind.__name__} has no {item.name!r}; measure the release again "
                "by jobs.evaluate or jobs.utility"
            )
    return kind(**values)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
