"""One published image again: the same bytes, or how far they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from factory.errors import PlanError
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.store import open_store
from factory.synthesis.reproduce import reproduce


@pytest.fixture
def released(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    return config, open_store(config.store).below(layout.release_prefix("tiny", "0.1.0"))


def test_every_kept_face_comes_again_byte_for_byte(released):
    config, store = released
    for row in metadata_rows(store, 1):
        made = reproduce(config, store, row["key"])
        assert made.equal
        assert (made.largest_difference, made.machine_differs) == (0, None)


def test_an_altered_image_is_told_by_its_pixels(released):
    config, store = released
    row = metadata_rows(store, 0)[0]
    data = bytearray(store.get(layout.tar_name(0)))
    piece = bytes(data[row["offset"] : row["offset"] + row["size"]])
    brighter = np.clip(np.asarray(Image.open(io.BytesIO(piece))).astype(int) + 60, 0, 255)
    buffer = io.BytesIO()
    quality = 95
    while quality == 95 or len(buffer.getvalue()) > row["size"]:
        buffer = io.BytesIO()
        Image.fromarray(brighter.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        quality -= 1
    data[row["offset"] : row["offset"] + row["size"]] = buffer.getvalue().ljust(row["size"], b"\0")
    store.put(layout.tar_name(0), bytes(data))
    made = reproduce(config, store, row["key"])
    assert made.largest_difference > 30
    assert not made.equal
    assert not made.as_recorded


def test_another_stack_is_reported(released, monkeypatch):
    config, store = released
    monkeypatch.setattr("factory.shots.environment.sources_sha256", lambda: "other")
    made = reproduce(config, store, "000000_0000")
    assert made.machine_differs.startswith("environment.sources_sha256")
    assert made.equal


@pytest.mark.parametrize("key", ["000099_0000", "nonsense", "000000_0099"])
def test_unknown_keys_are_refused(released, key):
    config, store = released
    with pytest.raises(PlanError, match=f"has no kept face '{key}'"):
        reproduce(config, store, key)
