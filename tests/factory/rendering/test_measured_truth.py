"""Truth against what is measured of small renders, as no set of photographs can be tested."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mitsuba")

from factory.config import RenderingConfig
from factory.config.rendered_groups import TONES
from factory.evaluation.perceptual_hash import MIN_DUPLICATE_COSINE, PerceptualHash
from factory.rendering.parts import Label
from factory.rendering.people.groups import GROUPS, group_of, tone_of
from factory.rendering.people.people import draw_person
from factory.rendering.renderer import FACE, Renderer
from factory.rendering.truth import rendered
from factory.rendering.view import AreaLight, Light, Pose, Wear
from factory.rendering.views.images import draw_view
from factory.shards.masks import mask_files
from factory.sources.pose import yaw_degrees
from tests.rendered import KnownPixels

BALD = RenderingConfig(samples=1, hair=False, camera="clean", background="plain")
PX = 64


@pytest.fixture(scope="module")
def renderer():
    return Renderer(BALD, PX)


def bare(view, **changes):
    """A view in which nothing is worn."""
    return replace(view, wear=Wear(), **changes)


def test_yaw_that_five_points_give_is_that_of_the_head(renderer):
    """Heads differ, so points tell the pose of each but nearly; over all they must agree."""
    true, found = [], []
    for number in range(20):
        person = draw_person(BALD, number)
        pose = Pose(-38 + 4.0 * number, 0.0, 0.0)
        view = bare(draw_view(BALD, person, 0), pose=pose)
        truth = rendered(person, view, renderer.render(person, view)).truth
        true.append(truth.yaw)
        found.append(yaw_degrees(np.array(truth.landmarks_5)))
    assert np.corrcoef(true, found)[0, 1] > 0.97
    slope, offset = np.polyfit(true, found, 1)
    assert 0.7 < slope < 1.3
    assert abs(offset) < 5


def test_a_wall_of_occluder_in_the_labels_is_the_fraction_that_is_told():
    person = draw_person(BALD, 0)
    view = draw_view(BALD, person, 0)
    known = rendered(person, view, KnownPixels(BALD, PX).render(person, view))
    hidden = (known.labels_HW == Label.OCCLUDER).sum()
    face = np.isin(known.labels_HW, FACE).sum()
    assert hidden / (hidden + face) == pytest.approx(known.occluded)


def test_points_of_the_face_lie_on_the_face(renderer):
    """The tip of the nose and the mouth's corners show skin, mouth or beard, and eyes eyes."""
    person = draw_person(BALD, 2)
    view = bare(draw_view(BALD, person, 0), pose=Pose())
    image = renderer.render(person, view)
    rows = image.landmarks_52.round().astype(int)
    shown = [Label(int(image.labels_HW[y, x])) for x, y in rows]
    assert {shown[2]} == {Label.SKIN}
    assert set(shown[:2]) <= {Label.EYES, Label.SKIN}
    assert set(shown[3:]) <= {Label.SKIN, Label.MOUTH}


def test_a_planted_copy_under_a_warmer_light_is_a_duplicate_and_another_pose_is_not():
    """The audit's hash sees copies; the same face lit from elsewhere is for its recognizers."""
    renderer = Renderer(replace(BALD, samples=8), PX)
    person = draw_person(BALD, 0)
    lamp = AreaLight((0.5, 0.5, 0.70711), 120.0, 60.0, (9.0, 8.5, 8.0))
    view = bare(draw_view(BALD, person, 0), pose=Pose(), light=Light(areas=(lamp,)))
    warmer = replace(view, light=Light(areas=(replace(lamp, radiance=(13.0, 10.0, 7.0)),)))
    turned = replace(view, pose=Pose(yaw=40.0))
    first, copy, other = (renderer.render(person, one).image_HWC for one in (view, warmer, turned))
    assert np.abs(first.astype(int) - copy).mean() > 1, "the light did change it"
    unit_ND = PerceptualHash().embed(np.stack([first, copy, other]))
    assert float(unit_ND[0] @ unit_ND[1]) >= MIN_DUPLICATE_COSINE
    assert float(unit_ND[0] @ unit_ND[2]) < MIN_DUPLICATE_COSINE


def test_masks_of_a_render_add_up_to_its_labels(renderer):
    person = draw_person(BALD, 0)
    image = renderer.render(person, bare(draw_view(BALD, person, 0)))
    names = [label.name.lower() for label in Label]
    files = mask_files(image.labels_HW, names)
    white = [np.array(Image.open(BytesIO(data))) == 255 for data in files.values()]
    assert (np.sum(white, axis=0) == 1).all()


def test_skin_of_a_darker_group_is_darker_in_the_same_light():
    """The pixels of skin give back the band of pigment that a person's name of group tells."""
    config = replace(BALD, samples=4, light="studio", groups={})
    renderer, bands, shown = Renderer(config, 32), [], []
    for group in GROUPS:
        number = next(n for n in range(200) if group_of(config, n) == group)
        person = draw_person(config, number)
        view = bare(draw_view(config, person, 0), pose=Pose(0.0, 0.0, 0.0), expression=())
        made = renderer.render(person, view)
        bands.append(TONES.index(tone_of(group)))
        shown.append(float(made.image_HWC[made.labels_HW == Label.SKIN].mean()))
    order = np.argsort(np.argsort(-np.array(shown)))
    assert np.corrcoef(order, bands)[0, 1] > 0.95
    assert np.abs(order // 2 - bands).max() <= 1, "a person looks like no neighbor of the own group"
