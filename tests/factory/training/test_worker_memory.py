"""Workers whose batches do not fit into /dev/shm are refused before they start."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch

from factory.errors import ConfigError, DeviceError
from factory.recognition import batches
from factory.recognition.batches import BatchLoader
from factory.training import worker_memory
from factory.training.batch_order import BatchOrder
from factory.training.worker_memory import check_shared_memory
from tests.disks import filesystem


class Faces:
    """Eight images of zeros, 64 px; `wait` holds back every one but the first."""

    labels = np.zeros(8, np.int64)

    def __init__(self, wait=lambda: None):
        self.wait = wait

    def __len__(self):
        return 8

    def image(self, index):
        if torch.utils.data.get_worker_info():
            self.wait()
        return np.zeros((64, 64, 3), np.uint8)


def loader(faces, num_workers=2):
    return BatchLoader(faces, BatchOrder(1, 8, 4), num_workers, 1)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A /dev/shm of 256 kB."""
    try:
        with filesystem(tmp_path / "shm", "256k") as folder:
            monkeypatch.setattr(worker_memory, "SHARED_MEMORY", folder)
            yield folder
    except PermissionError:
        pytest.skip("this user may not mount")


def test_a_small_one_is_found_before_workers_start(small, monkeypatch):
    """Two workers hold 2 x 4 + 2 batches of 4 x 64 x 64 x 3 bytes: 491,520."""

    def started(*_, **__):
        raise AssertionError("workers were started")

    monkeypatch.setattr(batches, "DataLoader", started)
    with pytest.raises(ConfigError) as caught:
        list(loader(Faces()).batches(0, 2))
    line = str(caught.value)
    assert line.startswith("batches.num_workers: 2 workers hold 0.5 MB of batches in ")
    assert "where 0.3 MB are free" in line
    assert "--shm-size" in line


def test_ranks_of_a_machine_share_it(small, monkeypatch):
    check_shared_memory(2, 10_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"2 workers of 4 ranks hold 0\.4 MB"):
        check_shared_memory(2, 10_000)
    check_shared_memory(0, 1 << 60)


def test_no_workers_and_enough_room_go_on(small, monkeypatch):
    assert len(list(loader(Faces(), 0).batches(0, 2))) == 2
    monkeypatch.undo()
    assert len(list(loader(Faces(), 2).batches(0, 2))) == 2


def test_workers_that_say_nothing_end_in_a_line(monkeypatch):
    monkeypatch.setattr(batches, "TIMEOUT_S", 1.0)
    with pytest.raises(DeviceError, match=r"timed out after 1\.0 seconds; .*--shm-size") as caught:
        list(loader(Faces(lambda: time.sleep(3600))).batches(0, 2))
    assert caught.value.exit_code == 75
    assert "\n" not in str(caught.value)


def test_exit_code_of_a_worker_that_was_killed():
    with pytest.raises(DeviceError, match=r"batches\.num_workers: DataLoader worker .*exited"):
        list(loader(Faces(lambda: os._exit(1))).batches(0, 2))
