"""Run tests of a tree, each run in a fork of a process that has imported the libraries already.

python tests/forked_tests.py ROOT   reads lines of JSON {"tests": [...], "limit_s": 60, "log": FILE}
and answers each with {"code": pytest's exit code, "seconds": of the processor}; the code is null
where the tests were stopped at the limit. It is a program of its own, because nothing of ROOT may
be imported before the fork: each run reads the tree as it is then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

LIBRARIES = (
    "numpy",
    "torch",
    "torch._dynamo",
    "torch.nn.functional",
    "cv2",
    "faiss",
    "PIL.Image",
    "pyarrow.parquet",
    "omegaconf",
    "pytest",
    "hypothesis.core",
    "_hypothesis_pytestplugin",
    "anyio.pytest_plugin",
    "anyio._backends._asyncio",
    "trio",
    "pytest_timeout",
    "xdist.plugin",
    "xdist.looponfail",
    "xdist.scheduler",
    "xdist.remote",
    "peft",
    "transformers",
    "diffusers",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.controlnets.controlnet",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "boto3",
    "jinja2",
    "safetensors.torch",
)
"""What tests of the mathematics import, seconds in all; a missing one is left to the tests."""
POLL_S = 0.01


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    sys.path[0] = str(root)  # instead of this file's folder
    os.chdir(root)
    os.environ.update(
        PYTHONPATH=str(root),
        HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS="1",
        TRANSFORMERS_VERBOSITY="error",
    )
    sys.dont_write_bytecode = True  # because a file that changes twice a second looks unchanged
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            try:
                importlib.import_module(name)
            except ImportError:
                continue
    gc.freeze()  # so that the collections of a fork do not look through the libraries
    for line in sys.stdin:
        task = json.loads(line)
        code, seconds = run(root, task["tests"], task["limit_s"], task["log"])
        answer = {"code": code, "seconds": round(seconds, 2)}
        print(json.dumps(answer, allow_nan=False), flush=True)


def run(root: Path, tests: list[str], limit_s: float, log: str) -> tuple[int | None, float]:
    """(pytest's exit code over some tests up to the first that fails, processor seconds).

    The code is None past the limit.
    """
    child = os.fork()
    if not child:
        _become(root, tests, log)
    ends, code = time.monotonic() + limit_s, None
    pid, status, used = os.wait4(child, os.WNOHANG)
    while not pid and time.monotonic() < ends:
        time.sleep(POLL_S)
        pid, status, used = os.wait4(child, os.WNOHANG)
    if pid:
        code = os.waitstatus_to_exitcode(status)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # the tests' own children too
    if not pid:
        _, _, used = os.wait4(child, 0)
    return code, used.ru_utime + used.ru_stime


def _become(root: Path, tests: list[str], log: str) -> None:
    """The forked process: run the tests and end."""
    code = 3  # pytest's own for an internal error
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        import pytest

        options = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries that are plugins
        options += ["-m", "not slow and not gpu", f"--basetemp={root / '.temporary'}"]
        code = int(pytest.main([*options, *tests]))
    except BaseException:  # because nothing above this frame may go on in a fork
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
