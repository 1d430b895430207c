"""How a job ends: exit code 0, or one line on stderr."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from factory.errors import FactoryError
from factory.store.atomic import disk_error, refusal


def guarded(action: Callable[[], None]) -> None:
    """Run `action`; an error meant for the user becomes one line on stderr, and any exit code 1."""
    message, ranks = "", int(os.environ.get("WORLD_SIZE", "1"))
    try:
        action()
    except FactoryError as error:
        message = f"error: {error}"
    except Exception as error:
        number = refusal(error)
        path = getattr(error, "filename", None) or "a file that this job writes"
        message = f"error: {disk_error(path, number)}" if number else traceback.format_exc()
    except KeyboardInterrupt:
        message = "stopped; the same command goes on from here"
    if ranks > 1:
        from factory.training.engine import end_rank

        end_rank(message)
    if message:
        sys.exit(message)
