"""A tar gives what its folder gives: links inside it, joined archives, names with './'."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources import open_source
from factory.sources.tar_scan import scan
from factory.sources.tars import MAX_HOPS, list_tar, plain, resolved
from tests.conftest import draw_people

TWO = ("anna", "bert")


@pytest.fixture
def people(tmp_path) -> Path:
    """Two people x three PNG images."""
    (tmp_path / "people").mkdir()
    return draw_people(tmp_path / "people", TWO)


def tarred(folder: Path, *names: str, name: str = "a.tar") -> Path:
    """A tar of some of the names in a folder; of all, sorted, where none are given."""
    path = folder.parent / name
    with tarfile.open(path, "w") as tar:
        for item in names or sorted(os.listdir(folder)):
            tar.add(folder / item, item)
    return path


def opened(path: Path, fraction: float = 1.0):
    config = SourceConfig(
        kind="folder", path=str(path), image_px=32, max_left_out_fraction=fraction
    )
    return open_source(config)


def counts(source) -> dict[str, int]:
    return {part.reason: part.count for part in source.left_out}


def same(folder: Path, path: Path) -> None:
    """A tar has all that its folder has, and leaves out the same."""
    first, second = opened(folder), opened(path)
    assert second.keys == first.keys
    assert list(second.names) == list(first.names)
    assert second.fingerprint == first.fingerprint
    assert counts(second) == counts(first)
    for index in range(len(first)):
        assert bytes(second.encoded(index)) == bytes(first.encoded(index))


def test_hard_links_are_files(people):
    os.link(people / "anna" / "1.png", people / "bert" / "7.png")
    path = tarred(people)
    with tarfile.open(path) as tar:
        assert any(member.islnk() for member in tar)
    same(people, path)


def test_symbolic_links_are_followed_inside(people):
    (people / "bert" / "7.png").symlink_to("../anna/1.png")
    (people / "bert" / "8.png").symlink_to("7.png")
    (people / "cora").symlink_to("anna")
    (people / "dora").mkdir()
    (people / "dora" / "0.png").symlink_to("../cora/2.png")
    same(people, tarred(people))
    assert set(opened(tarred(people)).names) == {*TWO, "cora", "dora"}


def test_links_out_and_in_circles_are_counted_alone(people, tmp_path):
    (tmp_path / "secret.png").write_bytes((people / "anna" / "0.png").read_bytes())
    for name, target in (
        ("anna/up.png", "../../secret.png"),
        ("anna/root.png", str(tmp_path / "secret.png")),
        ("anna/gone.png", "nothing.png"),
        ("anna/absolute.png", "/1.png"),  # which is there without the slash
        ("bert/a.png", "b.png"),
        ("bert/b.png", "a.png"),
        ("round", "."),
        ("bert/own", "../bert"),
    ):
        (people / name).symlink_to(target)
    source = opened(tarred(people))
    assert len(source) == 6
    assert counts(source) == {"dangling_link": 8}


def test_a_link_leads_through_so_many_and_never_outside():
    links = {f"{number}": [str(number + 1)] for number in range(MAX_HOPS + 1)}
    assert resolved(str(1), links) == str(MAX_HOPS + 1)
    assert resolved("0", links) is None
    assert resolved("a/../../b", {}) is None
    assert resolved("a/./b//../c", {}) == "a/c"
    assert resolved("d/x/1", {"d": ["e"], "e/x": None}) is None


def test_links_into_hidden_folders_are_followed(people):
    """As git-annex keeps images."""
    (people / ".git").mkdir()
    (people / "anna" / "0.png").rename(people / ".git" / "blob.png")
    (people / "anna" / "0.png").symlink_to("../.git/blob.png")
    same(people, tarred(people))


def test_a_dot_before_names_changes_no_key(people):
    path = people.parent / "dot.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(people, ".")
    with tarfile.open(path) as tar:
        assert "./anna/0.png" in tar.getnames()
    same(people, path)
    assert plain("./a//b/./c") == "a/b/c"


def test_all_that_a_folder_leaves_out_a_tar_does(people):
    for name in ("__MACOSX/anna/._0.png", "anna/._0.png", ".DS_Store", "anna/later/1.png"):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes((people / "anna" / "0.png").read_bytes())
    (people / "loose.png").write_bytes(b"x")
    (people / "anna" / "notes.txt").write_bytes(b"x")
    (people / "anna" / "a.gif").write_bytes(b"x")
    (people / "nobody").mkdir()
    same(people, tarred(people))


def test_names_that_are_no_text_are_as_in_a_folder(people):
    raw = os.fsencode(people) + b"/Jos\xe9"
    os.mkdir(raw)
    with open(raw + b"/0.png", "wb") as file:
        file.write((people / "anna" / "0.png").read_bytes())
    same(people, tarred(people))


def test_joined_archives_are_read_one_after_the_other(people):
    whole = opened(tarred(people))
    first, second = tarred(people, "anna", name="1.tar"), tarred(people, "bert", name="2.tar")
    joined = people.parent / "joined.tar"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    source = opened(joined)
    assert source.remarks == ("2 archives are joined in one tar; all are read",)
    assert (source.keys, source.fingerprint) == (whole.keys, whole.fingerprint)
    assert [bytes(source.encoded(i)) for i in range(6)] == [whole.encoded(i) for i in range(6)]
    with joined.open("ab") as file:
        file.write(bytes(3 << 20))  # more zeros than are read at once
        file.write(second.read_bytes().replace(b"bert/", b"cora/"))
    with pytest.raises(SourceError, match=r"plain tar \(bad checksum, at byte"):
        opened(joined)


@pytest.mark.parametrize("zeros", [0, 512, 3 << 20])
def test_what_follows_an_archive_and_is_none_is_refused(people, zeros):
    path = tarred(people)
    assert len(opened(path)) == 6
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(zeros))
        assert len(opened(path)) == 6
        file.write(b"signature" * 100)
    with pytest.raises(SourceError, match=rf"goes on at byte {size + zeros}, behind its end"):
        opened(path)


def test_images_at_the_root_of_a_tar_are_nobody(people):
    path = people.parent / "flat.tar"
    with tarfile.open(path, "w") as tar:
        for person in TWO:
            for image in range(3):
                tar.add(people / person / f"{image}.png", f"{person}_{image}.png")
    with pytest.raises(SourceError, match=r"all 6 images of .*outside any folder.*webdataset"):
        opened(path)


def test_folders_around_peoples_stay_in_keys(people):
    """As before: a tar of a folder has its name in every key."""
    path = people.parent / "wrapped.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(people, "set/people")
        tar.add(people / "anna" / "0.png", "set/cover.png")
    source = opened(path)
    assert list(source.names) == ["set/people/anna", "set/people/bert"]
    assert source.keys[0] == "set/people/anna/0"
    assert counts(source) == {"loose_file": 1}


@pytest.mark.parametrize(
    ("pack", "remedy"),
    [
        (gzip.compress, "packed by gzip.*gzip -dk a.tar.x"),
        (bz2.compress, "packed by bzip2.*bzip2 -dk"),
        (lzma.compress, "packed by xz.*xz -dk"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, "packed by zstd.*zstd -dk"),
    ],
)
def test_a_packed_tar_says_how_to_unpack_it(people, pack, remedy):
    path = people.parent / "a.tar.x"
    path.write_bytes(pack(tarred(people).read_bytes()))
    with pytest.raises(SourceError, match=remedy):
        list_tar(path)


def test_a_zip_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("anna/0.png", b"x")
    with pytest.raises(SourceError, match=r"packed by zip.*unzip a\.zip"):
        list_tar(tmp_path / "a.zip")


def test_other_members_are_counted(people):
    path = tarred(people)
    with tarfile.open(path, "a") as tar:
        pipe = tarfile.TarInfo("anna/pipe")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
        member = tarfile.TarInfo("anna/clip.mp4")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    assert counts(opened(path)) == {"unknown_format": 2}


def sparse_tar(path: Path, name: str, data: bytes) -> bytes:
    """A tar with one sparse member as `tar -S` (GNU format) writes it: a hole, then the data."""
    head = tarfile.TarInfo(name)
    head.type, head.size = tarfile.GNUTYPE_SPARSE, len(data)
    block = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (4096, len(data))
    block[483:495] = b"%011o\0" % (4096 + len(data))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + data + bytes(-len(data) % 512) + path.read_bytes())
    return path.read_bytes()


def test_sparse_members_are_counted_and_never_read(people):
    path = tarred(people)
    data = sparse_tar(path, "anna/9.png", b"x" * 700)
    with tarfile.open(path) as tar:
        assert [member.name for member in tar if member.issparse()] == ["anna/9.png"]
    source = opened(path)
    assert counts(source) == {"sparse": 1}
    assert list(source.keys) == list(opened(people).keys)
    scanned = scan(iter([data]), "a.tar")
    assert ("sparse", 1) in [(part.reason, part.count) for part in scanned.left_out]
    assert "anna/9" not in [image.stem for image in scanned.images]


def test_a_link_to_another_persons_folder_is_said(people):
    (people / "Otto").symlink_to("anna")
    for path in (people, tarred(people)):
        assert [line for line in opened(path).remarks if line.startswith("1 links lead to folders")]
    (people / "Otto").unlink()
    (people.parent / "away").mkdir()
    shutil.copytree(people / "anna", people.parent / "away" / "anna")
    (people / "Otto").symlink_to(people.parent / "away" / "anna")
    assert not opened(people).remarks
