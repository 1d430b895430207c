"""A disk that refuses some library's write ends a job in one line; a fault keeps its traceback."""

from __future__ import annotations

import errno
import os

import pytest

from factory.errors import MAY_GO_AGAIN
from jobs._command import guarded


def ends_with(error: Exception) -> str:
    def action() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        guarded(action)
    return str(caught.value.code)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_is_one_line(number):
    line = ends_with(OSError(number, os.strerror(number), "/data/t/model.safetensors"))
    assert line.startswith(f"error: /data/t/model.safetensors: {os.strerror(number)}; ")
    assert "\n" not in line
    assert ends_with(RuntimeError("I/O error: No space (os error 28)")).startswith("error: a file")


@pytest.mark.parametrize("error", [FileNotFoundError(2, "none", "x"), KeyError("x")])
def test_a_fault_keeps_its_traceback(error, capsys):
    assert ends_with(error) == str(MAY_GO_AGAIN)
    assert "Traceback" in capsys.readouterr().err
