"""How a job ends: exit code 0, or a line on stderr and an exit code that says what to do next."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from factory.errors import MAY_GO_AGAIN, REFUSED, FactoryError
from factory.store.atomic import disk_error, refusal


def guarded(action: Callable[[], None]) -> None:
    """Run `action`; an error meant for the user becomes one line on stderr, with its exit code.

    What nobody foresaw, Ray's own errors among it, keeps its traceback and may go again.
    """
    message, code, ranks = "", REFUSED, int(os.environ.get("WORLD_SIZE", "1"))
    try:
        action()
    except FactoryError as error:
        message, code = f"error: {error}", error.exit_code
    except KeyboardInterrupt:
        message = "stopped; the same command goes on from here"
    except Exception as error:
        number = refusal(error)
        path = getattr(error, "filename", None) or "a file that this job writes"
        message = (
            f"error: {disk_error(path, number)}" if number else traceback.format_exc().rstrip()
        )
        code = REFUSED if number else MAY_GO_AGAIN
    if ranks > 1:
        from factory.training.engine import end_rank

        end_rank(message, code)
    if message and code == REFUSED:
        sys.exit(message)  # which prints it and ends with 1
    if message:
        print(message, file=sys.stderr)
        sys.exit(code)
