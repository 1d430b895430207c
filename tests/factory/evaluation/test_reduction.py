"""Figures of a release from records of units that are made by hand."""

from __future__ import annotations

import numpy as np

from factory.evaluation.reduction import Reduction
from factory.evaluation.unit_record import UnitFaces, UnitRecord


def unit(index: int, *identities: int) -> UnitRecord:
    """A unit with a kept face of each of these identities."""
    own, none = np.array(identities), np.zeros(0, np.int64)
    count = len(identities)
    faces = UnitFaces(
        identity_N=own,
        class_N=np.arange(count),
        identity_K=own,
        sample_S=none,
        pair_P=none,
        photo_Q=none,
        hash_N32=np.zeros((count, 32), np.uint8),
        twin_N=np.zeros(count, bool),
    )
    return UnitRecord(index, [f"{one:06d}_0000" for one in identities], [], faces=faces)


def test_people_of_the_source_count_once_and_where_images_of_theirs_were_kept(tmp_path):
    """Identities 7 and 8 are one person of two versions of a union; nothing is left of 9."""
    made = Reduction(tmp_path, 0, own_label={5: 0, 7: 2, 8: 2, 9: 3})
    made.add_all([unit(0, 1, 5), unit(1, 7, 2), unit(2, 8), UnitRecord(3, [], [])])
    assert made.num_source_people == 2
