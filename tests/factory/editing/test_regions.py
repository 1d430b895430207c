"""Regions hide the fraction they shall, in every face, and nothing else."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from factory.config.editing import KINDS, SPARING
from factory.editing.regions import FIELDS, NUM_DRAWS, Frames, regions
from factory.sources.alignment import TEMPLATE_52, YuNet
from tests.outside import DETECTOR, LFW, needs_data

HIDING = [kind for kind in KINDS if kind != "background"]


def template(count: int) -> np.ndarray:
    return np.repeat(TEMPLATE_52[None], count, 0)


def some(kind: str, fraction: float, count: int = 16, **options):
    draws = np.random.default_rng(0).random((count, NUM_DRAWS))
    return regions(template(count), [kind] * count, [fraction] * count, draws, 112, **options)


def test_every_kind_of_the_config_is_a_field():
    assert tuple(FIELDS) == KINDS
    assert set(SPARING) < set(KINDS)


def test_the_template_looks_ahead():
    """Its mouth lies 1.154 eye distances below the eyes, the unit of both axes of a face."""
    eyes, mouth = TEMPLATE_52[:2], TEMPLATE_52[3:]
    apart = np.linalg.norm(eyes[1] - eyes[0])
    frames = Frames(template(1), 112)
    assert frames.tall_px[0] == pytest.approx(apart, rel=2e-3)
    assert frames.wide_px[0] == pytest.approx(apart, rel=1e-6)
    assert (mouth.mean(0) - eyes.mean(0))[1] / apart == pytest.approx(1.154, abs=1e-3)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("kind", HIDING)
def test_a_region_hides_its_share(kind, fraction):
    placed = some(kind, fraction)
    assert placed.usable_N.all()
    np.testing.assert_allclose(placed.fractions_N, fraction, atol=0.03)
    hidden = (placed.alpha_NHW * placed.face_NHW).sum((1, 2)) / placed.face_NHW.sum((1, 2))
    np.testing.assert_allclose(hidden, placed.fractions_N, rtol=1e-5)


@pytest.mark.parametrize("kind", SPARING)
def test_a_region_that_spares_the_face_touches_none_of_it(kind):
    placed = some(kind, 0.0)
    assert not (placed.alpha_NHW * placed.face_NHW).any()
    assert (placed.alpha_NHW > 0).mean() > 0.02  # and yet there is something to redraw


@settings(max_examples=25)
@given(
    st.sampled_from(HIDING),
    st.floats(0.1, 0.5),
    st.floats(-25, 25),
    st.floats(0.8, 1.2),
    st.integers(0, 2**31),
)
def test_the_share_holds_for_turned_small_and_large_faces(kind, fraction, degrees, size, seed):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE_52 - 56) @ turn.T * size + 56
    draws = np.random.default_rng(seed).random((1, NUM_DRAWS))
    placed = regions(points[None], [kind], [fraction], draws, 112)
    assert placed.usable_N.all()
    assert abs(float(placed.fractions_N[0]) - fraction) < 0.03


def test_regions_lie_where_their_names_say():
    rows = np.arange(112)[None, :, None]
    middle = {
        kind: float((placed.alpha_NHW * rows).sum() / placed.alpha_NHW.sum())
        for kind in HIDING
        for placed in [some(kind, 0.2)]
    }
    eyes, mouth = 51.6, 92.3
    assert middle["hat"] < middle["bangs"] + 10 < eyes
    assert abs(middle["sunglasses"] - eyes) < 8
    assert abs(middle["glasses"] - eyes) < 8
    assert middle["mask"] > mouth - 5
    assert middle["scarf"] > mouth


def test_each_shot_has_a_shape_of_its_own_and_always_the_same():
    first, again = some("bangs", 0.2), some("bangs", 0.2)
    assert (first.alpha_NHW == again.alpha_NHW).all()
    assert len({alpha.tobytes() for alpha in first.alpha_NHW}) == 16


def test_a_region_does_not_depend_on_the_others_of_its_batch():
    draws = np.random.default_rng(1).random((len(KINDS), NUM_DRAWS))
    fractions = [0.0 if kind == "background" else 0.3 for kind in KINDS]
    together = regions(template(len(KINDS)), KINDS, fractions, draws, 112)
    for row, kind in enumerate(KINDS):
        alone = regions(template(1), [kind], [fractions[row]], draws[row : row + 1], 112)
        assert (alone.alpha_NHW[0] == together.alpha_NHW[row]).all()


def test_a_soft_edge_is_wider():
    sharp, soft = some("mask", 0.3), some("mask", 0.3, soft_px=8.0)

    def between(placed):
        return ((placed.alpha_NHW > 0) & (placed.alpha_NHW < 1)).mean()

    assert between(soft) > 2 * between(sharp) > 0


def test_points_that_are_no_face_give_no_region():
    points = template(4)
    points[0] = np.nan
    points[1] = 50  # all in one place
    points[2, 3:] = points[2, :2] - 30  # a mouth above the eyes
    draws = np.random.default_rng(0).random((4, NUM_DRAWS))
    placed = regions(points, ["mask"] * 4, [0.2] * 4, draws, 112)
    assert placed.usable_N.tolist() == [False, False, False, True]
    assert not placed.alpha_NHW[:3].any()
    assert np.isfinite(placed.alpha_NHW).all()


def test_a_segmenters_face_takes_the_place_of_the_oval():
    face = np.zeros((1, 112, 112), np.float32)
    face[:, 40:100, 30:80] = 1
    draws = np.random.default_rng(0).random((1, NUM_DRAWS))
    placed = regions(template(1), ["scarf"], [0.25], draws, 112, face_NHW=face)
    assert abs(placed.alpha_NHW[0][face[0] == 1].mean() - 0.25) < 0.03
    with pytest.raises(ValueError, match=r"got masks \(1, 112, 64\); want \(1, 112, 112\)"):
        regions(template(1), ["scarf"], [0.25], draws, 112, face_NHW=face[:, :, :64])


@pytest.mark.slow
@needs_data
def test_fractions_over_a_thousand_real_faces():
    with tarfile.open(LFW) as tar:
        members = [member for member in tar if member.isfile()][:1000]
        images = [Image.open(io.BytesIO(tar.extractfile(m).read())) for m in members]  # type: ignore[union-attr]
        faces = [np.asarray(image.convert("RGB")) for image in images]
    detector = YuNet(str(DETECTOR), enlarge_to=224)
    points = np.stack([detector.landmarks(face) for face in faces])
    draws = np.random.default_rng(0).random((1000, NUM_DRAWS))
    for kind in HIDING:
        for fraction in (0.2, 0.4):
            placed = regions(points, [kind] * 1000, [fraction] * 1000, draws, 112)
            assert placed.usable_N.all()
            assert np.abs(placed.fractions_N - fraction).max() < 0.03, (kind, fraction)
    for kind in SPARING:
        placed = regions(points, [kind] * 1000, [0.0] * 1000, draws, 112)
        assert placed.fractions_N.max() == 0
