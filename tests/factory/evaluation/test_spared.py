"""Makers reject by the limits and the people of the audit: its own code, on made-up vectors."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import AuditConfig
from factory.errors import LeakError
from factory.evaluation.embeddings import RealFaces
from factory.evaluation.real_people import NOBODY
from factory.evaluation.spared import spared_by
from factory.quality.real_limits import unit_means
from factory.shards.private_files import spared_sha256
from factory.shards.writer import Encoding
from factory.synthesis.near_real import NearReal
from tests.factory.evaluation.audits import MadeFaces, leakage, yardstick_of
from tests.vectors import unit_rows

PEOPLE, IMAGES, DIM = 12, 3, 16
JUDGE = "a" * 64


def real_people(doubles: bool) -> RealFaces:
    """Images near to their person's center; with `doubles` the last one goes under two labels."""
    rng = np.random.default_rng(5)
    centers = unit_rows(4, PEOPLE, DIM)
    unit = np.repeat(centers, IMAGES, 0) + rng.normal(0, 0.08, (PEOPLE * IMAGES, DIM))
    if doubles:
        unit[-IMAGES:] = unit[:IMAGES]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    return RealFaces(unit.astype(np.float32), labels, np.arange(len(labels)))


def near_real(config: AuditConfig, real: RealFaces) -> NearReal:
    class Blind:
        sha256, dim, image_px = JUDGE, DIM, 8

        def embed(self, images_NHWC):
            raise AssertionError("only vectors are compared")

        embed_with_mirror = embed

    return NearReal(Blind(), Encoding("png", 90), *spared_by(config, real, JUDGE))


@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize("fpir", [0.01, 0.1, 0.5])
def test_limits_and_verdicts_are_those_of_the_audit(fpir, doubles):
    config, real = AuditConfig(leak_fpir=fpir), real_people(doubles)
    rng = np.random.default_rng(6)
    noise = np.linspace(0.05, 1, 18)[:, None] * rng.normal(size=(18, DIM))
    near = np.repeat(real.unit_ND[::4], 2, 0) + noise
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    identities = np.repeat(np.arange(6), 3)
    rows = [{"key": str(row), "identity": int(i)} for row, i in enumerate(identities)]
    audited = leakage(config, [MadeFaces(rows, near, near)], real, real, {}).metrics
    limits, unit_GD = spared_by(config, real, JUDGE)
    assert limits.face_cosine == audited.faces.limit_cosine
    assert limits.center_cosine == audited.classes.limit_cosine
    assert (limits.judge_sha256, limits.leak_fpir) == (JUDGE, fpir)
    assert limits.vectors_sha256 == spared_sha256(unit_GD)
    guard = near_real(config, real)
    assert [str(row) for row in range(18) if guard.is_near(near[row])] == audited.faces.leaks
    by_mean = [i for i in range(6) if guard.is_near_by_mean(near[identities == i])]
    assert by_mean == audited.classes.leaks
    if fpir > 0.01:
        assert 0 < len(audited.faces.leaks) < 18
        assert 0 < len(by_mean) < 6
    assert len(unit_GD) == PEOPLE * (IMAGES + 1) - doubles, "two labels are one person"


def test_labels_that_name_a_person_twice_do_not_loosen_the_limit():
    config = AuditConfig(leak_fpir=0.01)
    assert spared_by(config, real_people(doubles=True), JUDGE)[0].face_cosine < 0.95


def test_vectors_are_all_images_and_centers_that_the_audit_compares_with():
    real = real_people(doubles=False)
    unit_GD = spared_by(AuditConfig(), real, JUDGE)[1]
    people = yardstick_of(real, real).people
    everybody = np.full(len(unit_GD), NOBODY)
    np.testing.assert_allclose(people.nearest(unit_GD, everybody), 1, atol=1e-6)
    both = np.concatenate([real.unit_ND, unit_means(real.unit_ND, real.labels)])
    assert {row.tobytes() for row in unit_GD} == {row.tobytes() for row in both}


def test_one_person_tells_no_limit():
    one = RealFaces(unit_rows(1, 3, DIM), np.zeros(3, int), np.arange(3))
    with pytest.raises(LeakError, match="needs at least two people"):
        spared_by(AuditConfig(), one, JUDGE)
