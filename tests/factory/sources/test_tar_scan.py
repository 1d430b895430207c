"""A scan finds what tarfile finds, and damage wherever it lies."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from factory.errors import SourceError
from factory.sources.left_out import (
    DANGLING_LINK,
    MISSING_IMAGE,
    NO_LABEL,
    OTHER_FILE,
    SYSTEM_FILE,
    UNKNOWN_FORMAT,
)
from factory.sources.tar_scan import is_system_file, scan


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
    scanned = scan(blocks(data, size), "a.tar")
    found = scanned.images
    assert [(image.stem, image.identity) for image in found] == [("a", 7), ("long/" * 30 + "b", 12)]
    contents = [data[image.offset : image.offset + image.size] for image in found]
    assert contents == [b"1" * 1000, b"22"]
    assert [image.sha256 for image in found] == [hashlib.sha256(c).digest() for c in contents]
    assert scanned.sha256 == hashlib.sha256(data).hexdigest()
    assert [(part.reason, part.first) for part in scanned.left_out] == [
        (OTHER_FILE, ("note.json",))
    ]


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
        (tar_of({"a.cls": b"seven"}), r"the \.cls at byte 512 in a\.tar is not a class number"),
        (tar_of({"a.cls": b"1" * 13}), r"the \.cls at byte 512 in a\.tar is not a class number"),
        (tar_of({"a.cls": "\u0661".encode()}), r"is not a class number; want digits, at most 12"),
        (tar_of(FACES) + tar_of(FACES), "a.tar goes on after its end, as tars that were joined"),
    ],
)
def test_damage_and_missing_classes_are_named(data, wanted):
    with pytest.raises(SourceError, match=wanted):
        scan(blocks(data), "a.tar")


@pytest.mark.parametrize("second", ["p1.png", "p1.jpg", "p1.cls"])
def test_two_members_for_one_are_refused(second):
    data = tar_of({"p1.cls": b"1", "p1.jpg": b"one"})[:2048] + tar_of({second: b"2"})
    suffix = second.removeprefix("p1")
    wanted = rf"the {suffix} at byte 2560 in a\.tar comes a second time, or is a second image of"
    with pytest.raises(SourceError, match=wanted):
        scan(blocks(data), "a.tar")


def test_a_tar_without_members_has_no_images():
    assert scan(blocks(tar_of({})), "a.tar").images == []


def left_out(members: dict[str, bytes]) -> tuple[list[tuple[str, int]], dict[str, tuple]]:
    """(stem and class of each image, (count, first names) of each reason) of a tar."""
    scanned = scan(blocks(tar_of(members)), "a.tar")
    parts = {part.reason: (part.count, part.first) for part in scanned.left_out}
    return [(image.stem, image.identity) for image in scanned.images], parts


def test_what_is_no_labeled_image_is_counted_by_reason():
    found, parts = left_out(
        {
            "./a.jpg": b"1",
            "./a.cls": b"5",
            "a.txt": b"beside its image",
            "._a.jpg": b"macOS",
            "__MACOSX/a.cls": b"1",
            ".cache/b.jpg": b"1",
            "b.jpg": b"unlabeled",
            "c.cls": b"3",
            "d.jxl": b"1",
            "d.cls": b"4",
            "e.gif": b"1",
            "f.jp2": b"1",
            "f.json": b"{}",
            "g.npy": b"1",
            "README": b"",
        }
    )
    assert found == [("a", 5)]
    assert parts == {
        SYSTEM_FILE: (3, ("._a.jpg", "__MACOSX/a.cls", ".cache/b.jpg")),
        NO_LABEL: (1, ("b",)),
        MISSING_IMAGE: (1, ("c",)),
        UNKNOWN_FORMAT: (3, ("d", "e.gif", "f.jp2")),
        OTHER_FILE: (3, ("README", "f.json", "g.npy")),
    }


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"label": 7}', 7),
        (b'{"cls": "07"}', 7),
        (b'{"label": "seven", "cls": 2}', 2),
        (b'{"label": 1.5}', None),
        (b'{"label": -1}', None),
        (b'{"label": true}', None),
        (b"[7]", None),
        (b"[" * 100000, None),
        (b"\xff", None),
    ],
)
def test_a_json_has_a_class_number_or_none(body, wanted):
    found, parts = left_out({"a.jpg": b"1", "a.json": body})
    assert found == ([] if wanted is None else [("a", wanted)])
    assert parts == ({NO_LABEL: (1, ("a",))} if wanted is None else {})


def test_a_cls_comes_before_a_json():
    assert left_out({"a.jpg": b"1", "a.json": b'{"label": 7}', "a.cls": b"3"})[0] == [("a", 3)]


def test_links_are_counted():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../../x.jpg"
            tar.addfile(member)
        tar.addfile(tarfile.TarInfo("c.cls"))
    with pytest.raises(SourceError, match="is not a class number"):
        scan(blocks(buffer.getvalue()), "a.tar")
    scanned = scan(blocks(buffer.getvalue()[:1024] + bytes(1024)), "a.tar")
    assert [(part.reason, part.count) for part in scanned.left_out] == [(DANGLING_LINK, 2)]


@pytest.mark.parametrize("name", ["._a.jpg", "x/._a.tar", "__MACOSX/a.jpg", "@eaDir/a", ".x/a.jpg"])
def test_system_files_are_known_by_their_names(name):
    assert is_system_file(name)
    assert not is_system_file("./a.jpg")
    assert not is_system_file("../a.b/c._d.jpg")
