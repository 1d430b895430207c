"""Runs a function of a test module in several processes that form a torch group over gloo.

    results = run_ranks("tests.factory.training.test_engine:every_stage", 2, {"optimizer": "sgd"})

Each process calls the function with the keyword arguments and prints what it returns as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from typing import Any

ANSWER, ALONE = "ANSWER ", "--alone"


def run_ranks(
    function: str,
    world_size: int,
    arguments: dict[str, Any] | None = None,
    *,
    joined: bool = True,
    **environment: str,
) -> list[Any]:
    """The results of `module:function` on each rank; fails with a rank's stderr.

    Unless `joined`, the function itself joins the ranks.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "tests.ranks", function]
    command.append(json.dumps(arguments or {}))
    command += [] if joined else [ALONE]
    processes = []
    for rank in range(world_size):
        group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
        env = os.environ | {k: str(v) for k, v in group.items()} | {"MASTER_ADDR": "127.0.0.1"}
        env |= {"OMP_NUM_THREADS": "1"} | environment
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True))
    outputs = [process.communicate(timeout=240) for process in processes]
    failed = [
        f"rank {rank}: {errors[-2000:]}"
        for rank, (process, (_, errors)) in enumerate(zip(processes, outputs, strict=True))
        if process.returncode
    ]
    assert not failed, "\n".join(failed)
    answers = [
        next(line for line in reversed(out.splitlines()) if line.startswith(ANSWER))
        for out, _ in outputs
    ]
    return [json.loads(answer.removeprefix(ANSWER)) for answer in answers]


def main() -> None:
    from factory.config import ComputeConfig
    from factory.training.engine import join
    from jobs._command import guarded

    def answer() -> None:
        module, _, name = sys.argv[1].partition(":")
        if ALONE not in sys.argv:
            join(ComputeConfig(device="cpu"))
        result = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
        print(ANSWER + json.dumps(result), flush=True)

    guarded(answer)  # which ends a rank as a job does


if __name__ == "__main__":
    main()
