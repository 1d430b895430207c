"""Where a driver has computed what needs a device: in its own process, or by a task on a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class OnDevice(Protocol):
    """Calls a function in a process that has the device which makers will have.

    Function and arguments must be picklable, and what they name must lie where makers find it.
    """

    def __call__(self, function: Callable[..., Result], *args: Any) -> Result: ...


def in_this_process(function: Callable[..., Result], *args: Any) -> Result:
    """For fleet.runner=inline, whose maker is in the driver's own process."""
    return function(*args)
