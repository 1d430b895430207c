"""Sets of faces and parts of sources keep labels, names and fingerprints together."""

from __future__ import annotations

import re

import numpy as np
import pytest

from factory.errors import SourceError
from factory.sources import CorruptImageError, FaceSet, SourceFace, Subset, read_faces
from factory.sources.base import iterate_faces

LABELS = np.array([2, 0, 1, 1, 2])
NAMES = ["ann", "bob", "cid"]


@pytest.fixture
def faces():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    keys = [f"k{i}" for i in range(5)]
    return FaceSet(images, LABELS, keys, NAMES, ["k9: broken"], ("a remark",), "sha")


class Damaged:
    """A source of which some images cannot be read."""

    def __init__(self, faces: FaceSet, *damaged: int) -> None:
        self._faces, self._damaged = faces, damaged
        self.names, self.labels, self.keys = faces.names, faces.labels, faces.keys
        self.fingerprint, self.remarks, self.corrupt = "sha", ("a remark",), ()
        self.left_out = ()

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> SourceFace:
        if index in self._damaged:
            raise CorruptImageError(f"{self.keys[index]}: damaged")
        return self._faces[index]


def test_a_face_set_is_a_source_of_itself(faces):
    again = read_faces(faces, 0.0)
    assert np.array_equal(again.images_NHWC, faces.images_NHWC)
    assert np.array_equal(again.labels, LABELS)
    assert (again.keys, again.names, again.remarks) == (faces.keys, NAMES, ("a remark",))
    assert again.fingerprint == "sha"


def test_unreadable_images_are_left_out_up_to_the_limit(faces):
    read = read_faces(Damaged(faces, 0), 0.2)
    assert read.keys == ["k1", "k2", "k3", "k4"]
    assert read.corrupt == ["image 1 of person 3 in the order of names: damaged"]
    with pytest.raises(
        SourceError, match=r"more than 1 of 5 images cannot be used, first image 1 of person 3 in"
    ):
        read_faces(Damaged(faces, 0, 2), 0.2)
    with pytest.raises(SourceError, match="1 identities have no readable image, first person 1 in"):
        read_faces(Damaged(faces, 1), 0.5)
    corrupt: list[str] = []
    assert [face.key for face in iterate_faces(Damaged(faces, 3), 1.0, corrupt)] == [
        "k0",
        "k1",
        "k2",
        "k4",
    ]
    assert corrupt == ["image 2 of person 2 in the order of names: damaged"]


def test_an_image_that_cannot_be_used_is_told_by_its_place(faces):
    limit = "source.max_corrupt_fraction: more than {} images cannot be used, first image {}; rep"
    whole, part = Damaged(faces, 4), Subset(Damaged(faces, 2), 1, 3)
    for source, told in [(whole, "0 of 5"), (part, "0 of 4")]:
        place = "2 of person 3" if source is whole else "1 of person 2"
        line = limit.format(told, f"{place} in the order of names: damaged")
        with pytest.raises(SourceError, match=re.escape(line)):
            read_faces(source, 0.0)


@pytest.mark.parametrize("num_images", [1, 2, 3, 4, 5])
def test_the_first_people_are_whole(faces, num_images):
    some = faces.first_people(num_images)
    assert len(some) <= num_images
    people = set(some.labels.tolist())
    assert people == set(range(len(people)))  # the first ones
    assert len(some) == np.isin(LABELS, list(people)).sum()  # with all their images
    following = len(people)
    if following < len(NAMES):
        assert len(some) + (LABELS == following).sum() > num_images


def test_a_split_is_by_identity_and_each_part_has_its_fingerprint(faces):
    training, heldout = faces.split(1)
    assert (training.keys, heldout.keys) == (["k1", "k2", "k3"], ["k0", "k4"])
    assert training.names == ["ann", "bob"]
    assert [heldout.names[label] for label in heldout.labels] == ["cid", "cid"]
    assert len({faces.fingerprint, training.fingerprint, heldout.fingerprint}) == 3
    assert faces.split(0)[0].fingerprint == "sha"
    assert faces.describe(heldout).splitlines() == [
        "a remark",
        "5 images of 3 people, 2 held out",
        "left out: k9: broken",
    ]


def test_a_subset_numbers_its_identities_from_zero(faces):
    part = Subset(faces, 1, 3)
    assert list(part.names) == ["bob", "cid"]
    assert part.labels.tolist() == [1, 0, 0, 1]
    assert part.keys == ["k0", "k2", "k3", "k4"]
    assert [part[i].label for i in range(len(part))] == part.labels.tolist()
    assert [int(part[i].image_HWC[0, 0, 0]) for i in range(4)] == [0, 2, 3, 4]
    assert part.fingerprint == faces.split(2)[1].fingerprint  # the same people
    assert (part.remarks, part.corrupt) == (("a remark",), ("k9: broken",))
