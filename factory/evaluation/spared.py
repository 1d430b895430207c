"""The audit's limits and real people before anything is drawn (filters.spare_real_people).

Both are computed by what the audit computes them with, from the same embeddings of the source
(audit.embeddings_dir), so makers reject what it would count.
"""

from __future__ import annotations

import numpy as np

from factory.config import AuditConfig, Config
from factory.evaluation.embeddings import RealFaces, real_faces
from factory.evaluation.leakage import tests_of
from factory.evaluation.recognizers import JUDGE, open_recognizers
from factory.evaluation.yardstick import named_once
from factory.shards.private_files import spared_sha256
from factory.shots.request import SparedPeople
from factory.sources import FaceSource
from factory.training.distributed import device_here


def real_people_to_spare(config: Config, source: FaceSource) -> tuple[SparedPeople, np.ndarray]:
    """The limits by the config's judge, and the vectors [G, D] of all real images and centers.

    All images of the source are read; they are embedded where that was not done before. Raises
    LeakError for a source of one person.
    """
    space = open_recognizers(config, device_here(config.compute), judge_alone=True)[JUDGE]
    (judged,) = real_faces(source, config.source, [space], config.audit.embeddings_dir)
    return spared_by(config.audit, judged, space.sha256)


def spared_by(
    config: AuditConfig, judged: RealFaces, judge_sha256: str
) -> tuple[SparedPeople, np.ndarray]:
    """The same of real faces in the space of a judge."""
    people = named_once(judged)[0]
    faces, centers = tests_of(people, config.leak_fpir)
    limits = SparedPeople(
        judge_sha256=judge_sha256,
        leak_fpir=config.leak_fpir,
        face_cosine=faces.limit,
        center_cosine=centers.limit,
        vectors_sha256=spared_sha256(people.unit_GD),
    )
    return limits, people.unit_GD
