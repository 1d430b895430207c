"""Templates: one unit vector of several images of a person, their average (METHODS 7).

As IJB's protocols have it (Klare et al. 2015; Whitelam et al. 2017): unit vectors of all images
of a template are added, and the sum is normalized. Vectors are of image and mirror image, as for
pairs.

Shapes: I images, T templates, D embedding.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from factory.recognition.embed import Embedder
from factory.recognition.search_protocols import Side
from factory.sources import SourceFace, read_ahead
from factory.sources.base import check_few_corrupt, placed

BATCH = 256
"""Images that are embedded at once."""
SHORTEST = 1e-12
"""Length of a sum of unit vectors that has a direction."""


@dataclass(frozen=True)
class Templates:
    """Unit vectors of templates, and who each is of."""

    unit_TD: np.ndarray
    """float32; zeros where none was acquired."""
    person_T: np.ndarray
    acquired_T: np.ndarray
    """Whether any image of a template could be read: bool."""
    num_images: int
    num_failed: int
    """Images that could not be read, or show no face."""


def average(unit_ID: np.ndarray, template_I: np.ndarray, num_templates: int) -> np.ndarray:
    """Sums of unit vectors of each template, normalized: float32 [T, D]; zeros for no image."""
    sum_TD = np.zeros((num_templates, unit_ID.shape[1]))
    np.add.at(sum_TD, template_I, unit_ID)
    length_T1 = np.linalg.norm(sum_TD, axis=1, keepdims=True)
    return np.asarray(sum_TD / np.where(length_T1 > SHORTEST, length_T1, np.inf), np.float32)


def embed_templates(
    embedder: Embedder, side: Side, max_corrupt_fraction: float, *, keep_failed: bool
) -> Templates:
    """Embed all images of a side, a batch at a time, and average them by template.

    Templates without any readable image stay where `keep_failed`, else they are left out. Raises
    SourceError for more unreadable images than `max_corrupt_fraction`.
    """
    index_I, num_failed = side.index_I.tolist(), 0
    faces = enumerate(read_ahead(side.source, index_I))
    units, templates = [np.empty((0, embedder.dim), np.float32)], [np.empty(0, np.int64)]
    while batch := list(itertools.islice(faces, BATCH)):
        readable = [(row, face) for row, face in batch if isinstance(face, SourceFace)]
        for row, face in batch:
            if not isinstance(face, SourceFace):
                num_failed += 1
                line = placed(side.source, index_I[row], str(face))
                check_few_corrupt(num_failed, len(index_I), max_corrupt_fraction, line)
        if readable:
            images_NHWC = np.stack([face.image_HWC for _, face in readable])
            units.append(embedder.embed_with_mirror(images_NHWC))
            templates.append(side.template_I[[row for row, _ in readable]])
    template_I, num_templates = np.concatenate(templates), len(side.person_T)
    unit_TD = average(np.concatenate(units), template_I, num_templates)
    acquired_T = np.bincount(template_I, minlength=num_templates) > 0
    kept_T = acquired_T | keep_failed
    return Templates(
        unit_TD[kept_T], side.person_T[kept_T], acquired_T[kept_T], len(index_I), num_failed
    )
