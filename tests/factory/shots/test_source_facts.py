"""A source that lacks those who withdrew passes for a successor's; any other does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.errors import IntegrityError
from factory.shots.request import SourceFacts
from factory.shots.source_facts import Remaining, refuse_other_source
from factory.sources.alignment_facts import alignment_facts
from factory.sources.base import FaceSet

PLANNED = SourceFacts("folder", "f" * 64, 8, 4, 16)


@pytest.mark.parametrize(
    ("people", "images", "remaining", "passes"),
    [
        (3, 6, Remaining((0, 1, 2), 1), True),
        (3, 6, Remaining((0, 1), 2), True),  # one of the two who withdrew is there still
        (3, 6, None, False),  # nobody withdrew
        (2, 4, Remaining((0, 1), 1), False),  # somebody else is missing too
        (3, 6, Remaining((0, 1, -1), 1), False),  # one of the roster is missing
        (4, 8, Remaining((0, 1, 2), 1), False),  # nobody is missing, so others are there
        (3, 8, Remaining((0, 1, 2), 1), False),  # no image is missing
    ],
)
def test_a_source_without_those_who_withdrew(people, images, remaining, passes):
    names, labels = [str(one) for one in range(people)], np.arange(images) % people
    pixels = np.zeros((images, 1, 1, 3), np.uint8)
    source = FaceSet(pixels, labels, [""] * images, names, [], fingerprint="e" * 64)
    config = SourceConfig(kind="folder", image_px=16)
    if passes:
        refuse_other_source(config, source, PLANNED, remaining)
        return
    with pytest.raises(IntegrityError, match="holds other faces than the release was planned"):
        refuse_other_source(config, source, PLANNED, remaining)


def test_the_background_counts_where_nothing_is_aligned_too():
    """An image of the size of the faces may be transparent; it is never zoomed."""
    source = FaceSet(np.zeros((1, 1, 1, 3), np.uint8), np.zeros(1), [""], ["a"], [], (), "e" * 64)
    config = SourceConfig(kind="folder", image_px=16, detector=None)
    planned = SourceFacts("folder", "e" * 64, 1, 1, 16, alignment=alignment_facts(config))
    refuse_other_source(replace(config, zoom=0.5), source, planned)
    with pytest.raises(IntegrityError, match=r"background: 128 there, 255 asked"):
        refuse_other_source(replace(config, background=255), source, planned)
