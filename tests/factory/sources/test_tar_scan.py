"""A scan finds what tarfile finds, and damage wherever it lies."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from factory.errors import SourceError
from factory.sources.tar_scan import scan


def tar_of(members: dict[str, bytes], mode: str = "w", kind: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=kind) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def blocks(data: bytes, size: int = 700):
    return (data[start : start + size] for start in range(0, len(data), size))


FACES = {"a.jpg": b"1" * 1000, "a.cls": b"7", "long/" * 30 + "b.PNG": b"22"}
FACES |= {"long/" * 30 + "b.cls": b"12\n", "note.json": b"{}" * 40000}


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [1, 511, 700, 1 << 20])
def test_images_their_classes_and_digests_are_found(kind, size):
    data = tar_of(FACES, kind=kind)
    found, sha256 = scan(blocks(data, size), "a.tar")
    assert [(image.stem, image.identity) for image in found] == [("a", 7), ("long/" * 30 + "b", 12)]
    contents = [data[image.offset : image.offset + image.size] for image in found]
    assert contents == [b"1" * 1000, b"22"]
    assert [image.sha256 for image in found] == [hashlib.sha256(c).digest() for c in contents]
    assert sha256 == hashlib.sha256(data).hexdigest()


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + b"\xff" + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (tar_of(FACES)[:1536], "a.tar is cut off or damaged at byte 1536"),
        (tar_of(FACES)[:900], "a.tar is not a readable plain tar"),
        (damaged(tar_of(FACES), 1536), "a.tar is cut off or damaged at byte 1536"),
        (damaged(tar_of(FACES), 3), "a.tar is not a readable plain tar"),
        (tar_of(FACES, "w:gz"), "a.tar is not a readable plain tar"),
        (b"", "a.tar is not a readable plain tar"),
        (tar_of({"a.jpg": b"1"}), r"a\.jpg in a\.tar has no \.cls"),
        (tar_of({"a.cls": b"seven"}), r"a\.cls in a\.tar is not a class number"),
        (tar_of({"a.cls": b"1" * 13}), r"a\.cls in a\.tar is not a class number"),
    ],
)
def test_damage_and_missing_classes_are_named(data, wanted):
    with pytest.raises(SourceError, match=wanted):
        scan(blocks(data), "a.tar")


@pytest.mark.parametrize("second", ["p1.png", "p1.jpg", "p1.cls"])
def test_two_members_for_one_are_refused(second):
    data = tar_of({"p1.cls": b"1", "p1.jpg": b"one"})[:2048] + tar_of({second: b"2"})
    wanted = rf"{second} in a\.tar comes a second time, or is a second image of that name; remove"
    with pytest.raises(SourceError, match=wanted):
        scan(blocks(data), "a.tar")


def test_a_tar_without_members_has_no_images():
    found, _ = scan(blocks(tar_of({})), "a.tar")
    assert found == []
