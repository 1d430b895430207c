"""A job that raises an error, of a module and class that are given: MODULE:CLASS [MESSAGE]."""

from __future__ import annotations

import importlib
import os
import sys

from jobs._command import guarded


def main(name: str, *message: str) -> None:
    """As one of several ranks it joins the others first."""
    module, _, kind = name.partition(":")

    def action() -> None:
        if "WORLD_SIZE" in os.environ:
            from factory.config import ComputeConfig
            from factory.training.engine import join

            join(ComputeConfig(device="cpu"))
        raise getattr(importlib.import_module(module), kind)(*message)

    guarded(action)


if __name__ == "__main__":
    main(*sys.argv[1:])
