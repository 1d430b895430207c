"""Every reader gives the same faces, and bad input one clear line."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.recognition.batches import TrainingSet, WeightedSource
from factory.sources import open_source, read_faces, training_faces
from tests.conftest import IMAGES, PEOPLE, PX


def folder_config(path, **changes) -> SourceConfig:
    return SourceConfig(kind="folder", path=str(path), image_px=PX, **changes)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_folder_tar_and_webdataset_agree(people, tmp_path):
    folder = read_faces(open_source(folder_config(people)), 0.0)
    members, samples = {}, {}
    for image, label, key in zip(folder.images_NHWC, folder.labels, folder.keys, strict=True):
        members[key + ".png"] = png(image)
        flat = key.replace("/", "_")
        samples |= {f"{flat}.png": png(image), f"{flat}.cls": str(label).encode()}
    write_tar(tmp_path / "a.tar", members)
    write_tar(tmp_path / "shard.tar", samples)
    tar = read_faces(open_source(folder_config(tmp_path / "a.tar")), 0.0)
    config = SourceConfig(kind="webdataset", path=str(tmp_path / "shard.tar"), image_px=PX)
    shards = read_faces(open_source(config), 0.0)
    assert len(folder) == PEOPLE * IMAGES
    for other in (tar, shards):
        assert np.array_equal(other.images_NHWC, folder.images_NHWC)
        assert np.array_equal(other.labels, folder.labels)
    assert tar.keys == folder.keys


def test_fingerprint_follows_content_listing_not_place(people, tmp_path):
    first = open_source(folder_config(people)).fingerprint
    assert open_source(folder_config(people)).fingerprint == first
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.png").write_bytes(png(np.zeros((PX, PX, 3), np.uint8)))
    assert open_source(folder_config(tmp_path)).fingerprint != first


def test_starter_pack_is_in_the_package():
    source = open_source(SourceConfig())
    assert (len(source), len(source.names)) == (2528, 316)
    assert source[0].image_HWC.shape == (112, 112, 3)


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({}, "no images"),
        ({"a/readme.txt": b"x"}, "no images"),
    ],
)
def test_empty_sources_are_refused(tmp_path, members, wanted):
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(SourceError, match=wanted):
        open_source(folder_config(tmp_path / "a.tar"))


def test_missing_path_and_class_without_image(tmp_path):
    with pytest.raises(SourceError, match=r"source\.path: no such"):
        open_source(folder_config(tmp_path / "none"))
    (tmp_path / "nobody").mkdir()
    with pytest.raises(SourceError, match=r"no images in .*1 left out: folders without an image"):
        open_source(folder_config(tmp_path))


def test_not_a_tar(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(SourceError, match="not a readable plain tar"):
        open_source(folder_config(tmp_path / "a.tar"))


def test_corrupt_images_are_counted_then_refused(tmp_path):
    members = {f"p/{i}.png": png(np.zeros((PX, PX, 3), np.uint8)) for i in range(9)}
    members["p/9.png"] = b"\x89PNG broken"
    write_tar(tmp_path / "a.tar", members)
    source = open_source(folder_config(tmp_path / "a.tar"))
    faces = read_faces(source, 0.1)
    assert len(faces) == 9
    assert faces.corrupt == [
        "image 10 of person 1 in the order of names: not a readable image (UnidentifiedImageError)"
    ]
    with pytest.raises(SourceError, match=r"source\.max_corrupt_fraction: more than 0 of 10"):
        read_faces(source, 0.0)


def test_a_person_whose_every_image_is_corrupt_is_named(tmp_path):
    members = {f"p/{i}.png": png(np.zeros((PX, PX, 3), np.uint8)) for i in range(9)}
    write_tar(tmp_path / "a.tar", members | {"q/0.png": b"nothing"})
    with pytest.raises(
        SourceError, match="no readable image, first person 2 in the order of names"
    ):
        read_faces(open_source(folder_config(tmp_path / "a.tar")), 0.5)


def test_huge_images_are_not_decoded(tmp_path):
    write_tar(tmp_path / "a.tar", {"p/0.png": png(np.zeros((PX, PX, 3), np.uint8))})
    source = open_source(folder_config(tmp_path / "a.tar", max_pixels=100))
    with pytest.raises(SourceError, match=r"source\.max_pixels"):
        source[0]


def test_other_sizes_need_landmarks(tmp_path):
    write_tar(tmp_path / "a.tar", {"p/0.png": png(np.zeros((50, 40, 3), np.uint8))})
    with pytest.raises(SourceError, match=r"40x50, not 32x32.*source\.landmarks"):
        open_source(folder_config(tmp_path / "a.tar", detector=None))[0]


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".Jpeg"])
def test_points_of_an_image_are_found_by_its_name_in_a_tar(tmp_path, suffix):
    image = png(np.full((50, 40, 3), 90, np.uint8))
    write_tar(tmp_path / "a.tar", {f"p/a{suffix}": image, "p/a.cls": b"3"})
    points = tmp_path / "points.csv"
    points.write_text(
        f"file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\np/a{suffix},10,10,30,10,20,20,12,30,28,30\n"
    )
    config = folder_config(tmp_path / "a.tar", landmarks=str(points))
    for kind in ("folder", "webdataset"):
        face = open_source(replace(config, kind=kind))[0]
        assert face.image_HWC.shape == (PX, PX, 3)


def test_tar_members_outside_the_folder_are_only_names(tmp_path):
    write_tar(tmp_path / "a.tar", {"../evil/0.png": png(np.zeros((PX, PX, 3), np.uint8))})
    open_source(folder_config(tmp_path / "a.tar"))[0]
    assert not (tmp_path.parent / "evil").exists()


def test_webdataset_without_labels_or_seal_is_refused(tmp_path):
    write_tar(tmp_path / "a.tar", {"k.png": png(np.zeros((PX, PX, 3), np.uint8))})
    config = SourceConfig(kind="webdataset", path=str(tmp_path / "a.tar"), image_px=PX)
    with pytest.raises(SourceError, match=r"none of 1 images in .* has a class: no \.cls"):
        open_source(config)
    write_tar(tmp_path / "b.tar", {"k.png": b"", "k.cls": b"seven"})
    with pytest.raises(SourceError, match="not a class number"):
        open_source(SourceConfig(kind="webdataset", path=str(tmp_path / "b.tar"), image_px=PX))
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(SourceError, match="not sealed"):
        open_source(SourceConfig(kind="webdataset", path=str(tmp_path), image_px=PX))


def test_holdout_is_by_identity(people):
    train, heldout = training_faces(folder_config(people, holdout_identities=1))
    assert set(train.labels) == {0, 1, 2}
    assert set(heldout.labels) == {3}
    with pytest.raises(SourceError, match="holdout_identities"):
        training_faces(folder_config(people, holdout_identities=PEOPLE))
    train, heldout = training_faces(folder_config(people, holdout_fraction=0.5))
    assert (set(train.labels), set(heldout.labels)) == ({0, 1}, {2, 3})
    with pytest.raises(ConfigError, match=r"source\.holdout_fraction: got 0\.9 of 4 people"):
        training_faces(folder_config(people, holdout_fraction=0.9))
    train, other = training_faces(folder_config(people, heldout=str(people)))
    assert len(train) == len(other) == PEOPLE * IMAGES


@pytest.mark.parametrize("cut", [200, 1024, 700])
def test_a_damaged_tar_is_not_taken_for_a_short_one(tmp_path, cut):
    image = png(np.zeros((PX, PX, 3), np.uint8))
    write_tar(tmp_path / "a.tar", {f"p/{i}.png": image for i in range(3)})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:cut])
    with pytest.raises(SourceError, match=r"source\.path"):
        open_source(folder_config(tmp_path / "a.tar"))


def test_a_broken_header_in_the_middle_is_seen(tmp_path):
    image = png(np.zeros((PX, PX, 3), np.uint8))
    write_tar(tmp_path / "a.tar", {f"p/{i}.png": image for i in range(3)})
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[1024:1100] = b"x" * 76  # the second member's header
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match="cut off or damaged"):
        open_source(folder_config(tmp_path / "a.tar"))


def test_one_key_for_two_images_is_refused(tmp_path):
    image = png(np.zeros((PX, PX, 3), np.uint8))
    write_tar(tmp_path / "a.tar", {"p/1.png": image, "p/1.jpg": image})
    with pytest.raises(SourceError, match=r"1 keys stand for two.*first image 1 of person 1"):
        open_source(folder_config(tmp_path / "a.tar"))


def test_a_file_that_vanishes_is_a_corrupt_image(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.png").write_bytes(png(np.zeros((PX, PX, 3), np.uint8)))
    source = open_source(folder_config(tmp_path))
    (tmp_path / "p" / "1.png").unlink()
    with pytest.raises(SourceError, match="p/1: cannot be read"):
        source[0]


def test_the_first_identities_alone(people):
    config = SourceConfig(kind="folder", path=str(people), image_px=PX, num_identities=2)
    some, everybody = open_source(config), open_source(replace(config, num_identities=None))
    assert list(some.names) == list(everybody.names)[:2]
    assert some.keys == everybody.keys[: 2 * IMAGES]
    assert some.fingerprint != everybody.fingerprint
    assert replace(config, heldout=str(people)).other.num_identities is None
    assert open_source(replace(config, num_identities=100)).fingerprint == everybody.fingerprint


def test_an_image_of_another_size_is_told_by_its_place(tmp_path):
    images = {"Ann Real/0": PX, "Bob Real/0": PX, "Bob Real/1": PX + 8}
    write_tar(
        tmp_path / "a.tar",
        {f"{name}.png": png(np.zeros((px, px, 3), np.uint8)) for name, px in images.items()},
    )
    source = open_source(replace(folder_config(tmp_path / "a.tar"), detector=None))
    said = rf"source\.image_px: image 2 of person 2 in the order of names is {PX + 8}x{PX + 8}, not"
    for read in (
        lambda: read_faces(source, 0.0),
        lambda: TrainingSet([WeightedSource(source, "real", 1.0, True)], 1).image(2),
    ):
        with pytest.raises(SourceError, match=said) as refused:
            read()
        assert "Real" not in str(refused.value)
    with pytest.raises(SourceError, match="an image is") as refused:
        source[2]
    assert "Real" not in str(refused.value)
