"""Columns: what is written is what is mapped, by every process, and never to be written to."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from factory.sources.columns import ALIGN, Columns


@pytest.fixture
def arrays():
    return {
        "a": np.arange(7, dtype=np.uint8),
        "none": np.empty(0, np.int64),
        "b": np.linspace(0, 1, 5),
        "text": np.array([b"one", b"eleven"]),
    }


def test_what_is_written_is_mapped(arrays, tmp_path):
    facts = {"fingerprint": "x" * 200, "digits": [6, 4], "ü": None}
    columns = Columns(arrays, facts).write(tmp_path / "deep" / "c")
    assert columns.facts == facts
    assert columns.nbytes == 7 + 5 * 8 + 12
    for name, array in arrays.items():
        assert columns[name].dtype == array.dtype
        assert columns[name].tolist() == array.tolist()
        assert not columns[name].flags.owndata
        assert not columns[name].flags.writeable
        assert not len(array) or columns[name].ctypes.data % ALIGN == 0
    assert "a" in columns
    assert "c" not in columns


def test_a_copy_for_another_process_is_the_path_of_the_file(arrays, tmp_path):
    big = arrays | {"big": np.zeros(100_000)}
    mapped = Columns(big, {}).write(tmp_path / "c")
    sent = pickle.dumps(mapped)
    assert len(sent) < 1000
    assert pickle.loads(sent)["b"].tolist() == arrays["b"].tolist()
    assert pickle.loads(pickle.dumps(Columns(arrays, {})))["b"].tolist() == arrays["b"].tolist()


def test_another_file_is_none_of_columns(tmp_path):
    (tmp_path / "c").write_bytes(b"something else\n" * 9)
    with pytest.raises(ValueError, match="not a file of columns"):
        Columns.open(tmp_path / "c")
    with pytest.raises(FileNotFoundError):
        Columns.open(tmp_path / "none")


@pytest.mark.parametrize("length", range(40, 140, 7))
def test_heads_of_any_length_leave_the_columns_where_they_say(tmp_path, length):
    columns = Columns({"a": np.arange(3)}, {"fact": "x" * length}).write(tmp_path / "c")
    assert columns["a"].tolist() == [0, 1, 2]
