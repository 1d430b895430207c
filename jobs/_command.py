"""How a job ends: exit code 0, or one line on stderr."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from factory.errors import FactoryError


def guarded(action: Callable[[], None]) -> None:
    """Run `action`; an error meant for the user becomes one line on stderr, and any exit code 1."""
    message, ranks = "", int(os.environ.get("WORLD_SIZE", "1"))
    try:
        action()
    except FactoryError as error:
        message = f"error: {error}"
    except KeyboardInterrupt:
        message = "stopped; the same command goes on from here"
    except Exception:
        message = traceback.format_exc()
    if ranks > 1:
        from factory.training.engine import end_rank

        end_rank(message)
    if message:
        sys.exit(message)
