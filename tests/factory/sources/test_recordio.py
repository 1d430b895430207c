"""RecordIO: bit-equal round trips, the tables insightface writes, and nothing but named errors."""

from __future__ import annotations

import io
import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources import FaceSet, open_source, read_faces
from factory.sources.base import CorruptImageError
from factory.sources.record_source import RecordSource
from factory.sources.recordio import (
    MAGIC_BYTES,
    RecordFile,
    encode_record,
    read_index,
    write_records,
)
from tests.conftest import PX, draw_face

LABELS = np.array([0, 0, 1, 2, 2, 2])


def jpeg(person: int, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_face(person, image)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


JPEGS = [jpeg(int(person), i) for i, person in enumerate(LABELS)]


@pytest.fixture
def rec(tmp_path):
    write_records(tmp_path / "train.rec", LABELS, JPEGS)
    return tmp_path / "train.rec"


def source(path, **fields) -> RecordSource:
    config = SourceConfig(kind="recordio", path=str(path), image_px=PX, **fields)
    made = open_source(config)
    assert isinstance(made, RecordSource)
    return made


def payloads(path) -> list[bytes]:
    file = RecordFile(path)
    return [bytes(file.read(int(offset)).image) for offset in read_index(file)[1]]


def test_what_is_written_is_read_bit_for_bit(rec):
    assert payloads(rec)[1:7] == JPEGS
    faces = source(rec)
    assert faces.names == ["00000000", "00000001", "00000002"]
    assert faces.labels.tolist() == LABELS.tolist()
    for index, data in enumerate(JPEGS):
        assert np.array_equal(faces[index].image_HWC, np.asarray(Image.open(io.BytesIO(data))))
        assert faces[index].key == str(index + 1)


def test_the_bytes_are_those_of_the_format(rec):
    data = rec.read_bytes()
    magic, length, flag, label, key, _, first, last = struct.unpack_from("<IIIfQQff", data)
    assert (magic, length, flag, label, key, first, last) == (0xCED7230A, 32, 2, 0.0, 0, 7.0, 10.0)
    assert rec.with_suffix(".idx").read_text().splitlines()[0] == "0\t0"
    assert len(rec.with_suffix(".idx").read_text().splitlines()) == 1 + 6 + 3


@pytest.mark.parametrize("offsets", [(0,), (4,), (0, 4, 8), (3,), (8, 64)])
def test_records_that_hold_the_magic_number_are_cut_and_joined(tmp_path, offsets):
    body = bytearray(range(200))
    for offset in offsets:
        body[offset : offset + 4] = MAGIC_BYTES
    path = tmp_path / "cut.rec"
    write_records(path, np.array([0]), [bytes(body)])
    assert payloads(path)[1] == bytes(body)
    kinds = {
        struct.unpack_from("<I", path.read_bytes(), at + 4)[0] >> 29
        for at in range(0, path.stat().st_size, 4)
        if path.read_bytes()[at : at + 4] == MAGIC_BYTES
    }
    assert (kinds == {0}) == all(offset % 4 for offset in offsets)


@given(st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\xff", MAGIC_BYTES)), min_size=1))
@settings(deadline=None, max_examples=60)
def test_any_payload_comes_back(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("any") / "x.rec"
    write_records(path, np.arange(len(bodies)), bodies)
    assert payloads(path)[1 : len(bodies) + 1] == bodies


def test_without_an_index_one_scan_is_cached(rec):
    listed = read_index(RecordFile(rec))[1]
    rec.with_suffix(".idx").unlink()
    assert np.array_equal(read_index(RecordFile(rec))[1], listed)
    cache = rec.with_suffix(".scan.npy")
    assert cache.is_file()
    assert np.array_equal(np.load(cache)[:-1], listed)
    assert source(rec).labels.tolist() == LABELS.tolist()
    write_records(rec, LABELS[:2], JPEGS[:2])  # another file under the same name
    rec.with_suffix(".idx").unlink()
    assert len(source(rec)) == 2


def test_gaps_in_the_labels_are_closed_and_told(tmp_path):
    records = b""
    for key, label in enumerate((0.0, 3.0, 3.0), start=1):
        records += encode_record(key, label, JPEGS[0])
    (tmp_path / "gaps.rec").write_bytes(records)
    faces = source(tmp_path / "gaps.rec")
    assert faces.labels.tolist() == [0, 1, 1]
    assert faces.names == ["00000000", "00000003"]
    assert "labels up to 3 with 2 gaps" in faces.remarks[0]
    assert faces.remarks[0] in read_faces(faces, 0.0).describe(FaceSet.nobody())


def test_records_without_identity_table_have_their_own_labels(tmp_path):
    path = tmp_path / "plain.rec"
    write_records(path, LABELS, JPEGS)
    offsets = read_index(RecordFile(path))[1]
    plain = tmp_path / "images.rec"
    plain.write_bytes(path.read_bytes()[offsets[1] : offsets[7]])
    faces = source(plain)
    assert faces.labels.tolist() == LABELS.tolist()
    assert faces.names == ["00000000", "00000001", "00000002"]


def test_a_corrupt_record_is_named_counted_and_skipped(rec):
    file = RecordFile(rec)
    offset = int(read_index(file)[1][3])
    data = bytearray(rec.read_bytes())
    data[offset + 40 : offset + 90] = bytes(50)
    rec.write_bytes(bytes(data))
    with pytest.raises(CorruptImageError, match=rf"^3: 3: .*record at byte {offset}"):
        source(rec)[2]
    with pytest.raises(SourceError, match="have no readable image"):
        read_faces(source(rec), 0.5)  # it was the only image of its person
    with pytest.raises(SourceError, match=r"source\.max_corrupt_fraction"):
        read_faces(source(rec), 0.0)


def test_wrong_files_are_refused(rec, tmp_path):
    other = tmp_path / "other.rec"
    write_records(other, LABELS[:3], JPEGS[:3][::-1])
    listing = other.with_suffix(".idx").read_bytes()
    rec.with_suffix(".idx").write_bytes(listing)
    with pytest.raises(SourceError, match=r"train\.idx does not belong to .*train\.rec"):
        source(rec)
    rec.with_suffix(".idx").write_text("no table\n")
    with pytest.raises(SourceError, match="not lines of key TAB offset"):
        source(rec)
    rec.with_suffix(".idx").unlink()
    rec.write_bytes(rec.read_bytes()[:-6])
    with pytest.raises(SourceError, match=r"is cut off; without an \.idx"):
        source(rec)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"want a \.rec file"):
        source(tmp_path / "empty")
    with pytest.raises(ValueError, match="sorted and run from 0"):
        write_records(other, np.array([1, 0]), JPEGS[:2])


def test_images_of_another_size_are_refused(rec):
    config = SourceConfig(kind="recordio", path=str(rec), image_px=112)
    with pytest.raises(SourceError, match=r"source\.image_px: 1 is 32x32, not 112x112"):
        open_source(config)[0]


def test_workers_and_copies_read_the_same(rec):
    faces = source(rec)
    copy = pickle.loads(pickle.dumps(faces))
    assert np.array_equal(copy[4].image_HWC, faces[4].image_HWC)
    loader = DataLoader(faces, batch_size=None, num_workers=2, collate_fn=lambda face: face.key)
    assert list(loader) == [str(key) for key in range(1, 7)]


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_files_raise_the_named_error_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "x.rec"
    write_records(path, LABELS, JPEGS)
    content = bytearray(path.read_bytes())
    with_index = data.draw(st.booleans())
    if not with_index:
        path.with_suffix(".idx").unlink()
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with suppress(SourceError):  # anything else fails the test
        faces = source(path)
        for index in range(len(faces)):
            with suppress(SourceError):
                assert faces[index].image_HWC.shape == (PX, PX, 3)


def test_a_scan_of_another_file_of_that_size_and_an_older_date_is_made_again(tmp_path):
    """As a copy that keeps dates leaves it: the scan is newer than the file that it is not of."""
    path = tmp_path / "x.rec"

    def write(payloads: list[bytes]) -> int:
        write_records(path, np.arange(len(payloads)), payloads)
        path.with_suffix(".idx").unlink()
        os.utime(path, ns=(1, 1))
        return path.stat().st_size

    size = write([bytes(40), bytes(400), bytes(40)])
    first = read_index(RecordFile(path))[1]
    assert write([bytes(400), bytes(40), bytes(40)]) == size
    second = read_index(RecordFile(path))[1]
    assert not np.array_equal(first, second)
    path.with_suffix(".scan.npy").unlink()
    assert np.array_equal(read_index(RecordFile(path))[1], second)
