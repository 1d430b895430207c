"""A folder as people keep it: what are images of whom, and what is counted instead."""

from __future__ import annotations

import json
import os
import unicodedata

import pyarrow as pa
import pytest

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources import listing, open_source, subset
from factory.sources.contents import contents_sha256
from factory.sources.folder import list_folder
from factory.sources.listing import readable
from tests.conftest import draw_people

TWO = ("anna", "bert")


@pytest.fixture
def people(tmp_path):
    """Two people x three PNG images."""
    (tmp_path / "people").mkdir()
    return draw_people(tmp_path / "people", TWO)


def opened(root, fraction: float = 1.0):
    config = SourceConfig(kind="folder", path=str(root), image_px=32)
    return open_source(SourceConfig(**(vars(config) | {"max_left_out_fraction": fraction})))


def counts(source) -> dict[str, int]:
    return {part.reason: part.count for part in source.left_out}


def copied(people, *names: str) -> None:
    """An image more at each name."""
    for name in names:
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes((people / "anna" / "0.png").read_bytes())


SYSTEM = (
    ".ipynb_checkpoints/0-checkpoint.png",
    "@eaDir/0.png/THUMB_XL.png",
    "__MACOSX/anna/._0.png",
    "lost+found/0.png",
    "#recycle/anna/9.png",
    "$RECYCLE.BIN/9.png",
    ".Trash-1000/files/9.png",
    "System Volume Information/9.png",
    "anna/._0.png",
    "anna/.0.png",
    "anna/Thumbs.db",
    "anna/@eaDir/0.png/THUMB.png",
    "bert/.DS_Store",
    "bert/desktop.ini",
    ".DS_Store",
)


def test_what_systems_leave_behind_is_counted_and_changes_nothing(people):
    before = opened(people)
    copied(people, *SYSTEM)
    source = opened(people, 0.0)
    assert list(source.names) == list(TWO)
    assert (source.keys, source.fingerprint) == (before.keys, before.fingerprint)
    assert counts(source) == {"system_file": len(SYSTEM)}


def test_a_person_is_whatever_else_a_folder_is_called(people):
    names = ("0001__Anna", "@anna", "#1", "..anna", "a.b", "__anna")
    for name in names:
        copied(people, f"{name}/0.png")
    source = opened(people)
    assert set(source.names) == {*TWO, *names} - {"..anna"}  # which is hidden
    assert "0001__Anna/0" in source.keys


def test_what_is_not_read_is_counted_by_reason(people, tmp_path):
    copied(people, "loose.png", "anna/later/1.png", "anna/later/2.png", "anna/movie.gif")
    (people / "nobody").mkdir()
    (people / "anna" / "notes.txt").write_text("x")
    (people / "anna" / "8.png").symlink_to("/nowhere/8.png")
    (people / "cora").symlink_to("/nowhere")
    source = opened(people)
    assert list(source.names) == list(TWO)
    assert counts(source) == {
        "other_file": 1,
        "unknown_format": 1,
        "dangling_link": 2,
        "deeper_folder": 2,
        "loose_file": 1,
        "empty_folder": 1,
    }
    assert "anna/later/1.png" in next(
        part.first for part in source.left_out if part.reason == "deeper_folder"
    )
    with pytest.raises(SourceError, match=r"max_left_out_fraction: 7 of 13 .*1 folders without"):
        opened(people, 0.5)
    assert len(opened(people, 7 / 13)) == 6
    assert subset(source, 0, 1).left_out == source.left_out


def test_links_are_followed_and_circles_are_not(people, tmp_path):
    copied(people, "cora/0.png")
    (people / "anna" / "9.png").symlink_to("../bert/1.png")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "7.png").write_bytes((people / "bert" / "2.png").read_bytes())
    (people / "dora").symlink_to(outside)
    for name, target in (("round", "."), ("anna/up", ".."), ("cora/own", "../cora")):
        (people / name).symlink_to(target)
    (people / "bert" / "circle.png").symlink_to("circle.png")
    source = opened(people)
    assert list(source.names) == [*TWO, "cora", "dora"]
    assert {"anna/9", "dora/7"} <= set(source.keys)
    assert counts(source) == {"dangling_link": 4}


def test_links_among_folders_are_followed_so_deep_only(people):
    """Six folders that all link to each other hold thousands of paths, ten hold millions."""
    for name in "012345":
        copied(people, f"{name}/0.png")
        for other in "012345":
            (people / name / f"to{other}").symlink_to(f"../{other}")
    source = opened(people)
    assert len(source) == 6 + 6
    # in each of six, a link to itself, and five in which are an image, two circles, four links
    assert counts(source) == {"deeper_folder": 6 * 5 * (1 + 4), "dangling_link": 6 + 6 * 5 * 2}


def test_one_folder_around_all_is_looked_into(people, tmp_path):
    inner = opened(people)
    (tmp_path / "README.md").write_text("unzipped")
    (tmp_path / "__MACOSX").mkdir()
    source = opened(tmp_path)
    assert (source.keys, source.fingerprint) == (inner.keys, inner.fingerprint)
    assert any("a folder lies around those of the people" in line for line in source.remarks)
    alone = people / "bert"
    assert list(opened_alone(alone, tmp_path).names) == ["bert"]  # one person is no wrapper


def opened_alone(person, tmp_path):
    (tmp_path / "one").mkdir()
    person.rename(tmp_path / "one" / person.name)
    return opened(tmp_path / "one")


def test_a_flat_folder_and_one_too_deep_name_the_layouts_that_work(people, tmp_path):
    for person in TWO:
        for file in (people / person).iterdir():
            file.rename(people / f"{person}_{file.name}")
        (people / person).rmdir()
    with pytest.raises(SourceError, match=r"all 6 images of .* outside any folder.*PERSON/IMAGE"):
        opened(people)
    copied_deep = tmp_path / "deep"
    for part in ("train", "test"):
        (copied_deep / part).mkdir(parents=True)
        draw_people(copied_deep / part, TWO)
    with pytest.raises(SourceError, match=r"all 12 images .* in folders inside folders.*PERSON"):
        opened(copied_deep)


def test_an_image_of_the_same_name_in_a_newer_format_is_counted(people):
    """Telephones export IMG_1.HEIC beside IMG_1.JPG."""
    before = opened(people)
    copied(people, "anna/0.bmp", "anna/1.tif")
    source = opened(people, 0.0)
    assert source.fingerprint == before.fingerprint
    assert counts(source) == {"same_name": 2}
    copied(people, "anna/5.bmp", "anna/5.tif")
    with pytest.raises(SourceError, match=r"1 keys stand for two .*image 4 of person 1 in the"):
        opened(people)


def test_photographs_that_need_a_package_name_it(people, monkeypatch):
    copied(people, "anna/5.heic")
    missing = {".heic": "pip install x"}
    monkeypatch.setattr(listing, "missing_package", lambda suffix: missing.get(suffix, ""))
    source = opened(people)
    assert counts(source) == {"no_decoder": 1}
    assert "pip install 'face-factory[formats]'" in source.left_out[0].line
    missing.clear()
    assert "anna/5" in opened(people).keys


def test_names_that_are_no_text_reach_json_and_parquet(people):
    raw = os.fsencode(people) + b"/Jos\xe9"
    os.mkdir(raw)
    with open(raw + b"/\xff.png", "wb") as file:
        file.write((people / "anna" / "0.png").read_bytes())
    source = opened(people)
    assert source.keys[0] == "Jos\\xe9/\\xff"
    assert json.loads(json.dumps(source.keys)) == source.keys
    assert pa.array(source.keys).to_pylist() == source.keys
    assert len(contents_sha256(source)) == 64
    assert source[0].image_HWC.shape == (32, 32, 3)
    assert "2 names are no UTF-8: such bytes are \\xHH in their keys" in source.remarks


def test_two_spellings_of_a_name_are_one_person(people):
    composed, apart = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    copied(people, f"{apart}/0.png")
    source = opened(people)
    assert apart in source.names  # alone it stays as it is on disk
    assert not source.remarks
    copied(people, f"{composed}/1.png")
    source = opened(people)
    assert list(source.names) == [composed, *TWO]
    assert set(source.keys) > {f"{apart}/0", f"{composed}/1"}
    assert source.labels.tolist().count(0) == 2
    assert source.remarks[0].startswith("1 people have folders in two Unicode spellings")


def test_a_table_may_spell_a_name_in_the_other_form(people):
    apart, composed = (unicodedata.normalize(form, "José/0.png") for form in ("NFD", "NFC"))
    copied(people, apart)
    points = people.parent / "points.csv"
    head = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))
    points.write_text(f"{head}\n{composed},10,10,20,10,15,15,11,20,19,20\n", "utf-8")
    config = SourceConfig(kind="folder", path=str(people), image_px=32, landmarks=str(points))
    source = open_source(config)
    assert source[source.keys.index(apart[:-4])].landmarks_52 is not None


def test_names_that_differ_in_case_are_said(people):
    copied(people, "Anna/0.png", "CORA/0.png")
    source = opened(people)
    assert len(source.names) == 4
    assert source.remarks == ("2 people have names that differ in case only; each is a person",)


def test_no_name_is_in_what_a_training_prints(people):
    copied(people, "loose_carla.png", "anna/later/carla.png", "ANNA/0.png")
    (people / "carla").mkdir()
    for line in [*opened(people).remarks, *(part.line for part in opened(people).left_out)]:
        assert not {"anna", "carla", "loose_carla"} & set(line.lower().replace("/", " ").split())


def test_a_folder_that_cannot_be_listed_is_one_line(people, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SourceError, match=r"cannot be listed \(Permission denied\)"):
        list_folder(people)


def test_text_stays_as_it_is():
    assert readable("José") == "José"
    assert readable(os.fsdecode(b"Jos\xe9")) == "Jos\\xe9"


def test_order_and_keys_of_a_clean_folder_are_by_person_and_file(people):
    """A sort of whole names would put 'anna b/' before 'anna/'."""
    copied(people, "anna b/0.png")
    assert opened(people).keys[:4] == ["anna/0", "anna/1", "anna/2", "anna b/0"]
