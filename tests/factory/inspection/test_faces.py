"""An image is looked at once: its face is found and aligned, or checked where it is aligned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.inspection.faces import FACE_PX, Looker, misfit_px, moved_px
from factory.sources import open_source
from factory.sources.alignment import TEMPLATE_52
from factory.sources.base import CorruptImageError


@pytest.fixture
def looker(tmp_path, starter):
    """Function of an image and what is known of its alignment -> what is seen in it."""

    def look(image, aligned_px=None):
        folder = tmp_path / "anna"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "0.png")
        config = SourceConfig(kind="folder", path=str(tmp_path))
        return Looker.opened(open_source(config), config, aligned_px).look(0)[0]

    return look


def test_a_face_seen_from_the_side_has_not_moved():
    """A nose that points aside by symmetric means moves no template; a shifted face does."""
    assert moved_px(TEMPLATE_52) == pytest.approx(0, abs=1e-9)
    assert moved_px(TEMPLATE_52 + np.array([3.0, 4.0])) == pytest.approx(5)
    enlarged = (TEMPLATE_52 - TEMPLATE_52.mean(0)) * 2 + TEMPLATE_52.mean(0)
    spread = np.sqrt(((TEMPLATE_52 - TEMPLATE_52.mean(0)) ** 2).sum(1).mean())
    assert moved_px(enlarged) == pytest.approx(spread / 2)
    assert misfit_px(TEMPLATE_52 + np.array([3.0, 4.0])) == pytest.approx(5)
    assert moved_px(np.ones((5, 2))) == np.inf


def test_an_aligned_face_is_taken_as_it_is(looker, starter):
    image = starter.faces.images_NHWC[0]
    look = looker(image, aligned_px=112)
    assert np.array_equal(look.face_HWC, image)
    assert (look.form, look.mode, look.width, look.num_faces) == ("PNG", "RGB", 112, 1)
    assert look.residual_px < 10
    assert not look.is_gray


def test_a_face_that_was_shifted_does_not_pass_for_aligned(looker, starter):
    look = looker(np.roll(starter.faces.images_NHWC[0], (14, 8), (0, 1)), aligned_px=112)
    assert look.residual_px == pytest.approx(np.hypot(14, 8), abs=5)


def test_a_large_picture_is_aligned_by_the_face_in_it(looker, starter):
    canvas = np.full((600, 800, 3), 128, np.uint8)
    face = Image.fromarray(starter.faces.images_NHWC[0]).resize((224, 224))
    canvas[200:424, 300:524] = np.asarray(face)
    look = looker(canvas)
    assert look.num_faces == 1
    assert look.face_HWC.shape == (FACE_PX, FACE_PX, 3)
    assert 50 < look.eye_px < 90, "the template's 35 px at twice its size"
    assert misfit_px(look.points_52) == look.residual_px < 8
    assert abs(look.angles[2]) < 10


def test_no_face_leaves_the_whole_picture(looker):
    canvas = np.zeros((100, 300, 3), np.uint8)
    canvas[:, :150] = 200
    look = looker(canvas)
    assert look.num_faces == 0
    assert look.face_HWC is None
    assert look.picture_HWC.shape == (FACE_PX, FACE_PX, 3)
    assert np.isnan([look.residual_px, look.eye_px, *look.angles]).all()
    bright, contrast, sharp = look.tone
    assert (bright, contrast) == pytest.approx((look.picture_HWC.mean(), 58), abs=8)
    assert sharp > 0
    assert look.is_gray


def test_an_unreadable_image_is_corrupt(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna/0.png").write_bytes(b"no image")
    config = SourceConfig(kind="folder", path=str(tmp_path))
    with pytest.raises(CorruptImageError, match="anna/0"):
        Looker.opened(open_source(config), config, None).look(0)


def test_a_face_that_the_config_doubts_is_none(tmp_path, starter):
    (tmp_path / "anna").mkdir()
    Image.fromarray(starter.faces.images_NHWC[0]).resize((300, 300)).save(tmp_path / "anna/0.png")
    config = SourceConfig(kind="folder", path=str(tmp_path))
    found = Looker.opened(open_source(config), config, None).look(0)[0]
    assert found.num_faces == 1
    strict = replace(config, min_face_score=min(1.0, found.score + 0.01))
    assert Looker.opened(open_source(strict), strict, None).look(0)[0].num_faces == 0


def test_the_points_beside_a_train_tsv_place_its_faces(tmp_path, starter):
    """A detector would find the face in the left half; the table says the right one."""
    two = np.concatenate([starter.faces.images_NHWC[0], starter.faces.images_NHWC[40]], 1)
    Image.fromarray(two).save(tmp_path / "0.png")
    (tmp_path / "train.tsv").write_text("0\t0.png\t0\n")
    points = (TEMPLATE_52 + np.array([112.0, 0.0])) / [224, 112]
    names = ",".join(f"{axis}{point}" for point in range(5) for axis in "xy")
    row = ",".join(f"{value:.8f}" for value in points.ravel())
    (tmp_path / "ldmk_5points.csv").write_text(f"idx,{names}\n0,{row}\n")
    config = SourceConfig(kind="cvlface", path=str(tmp_path))
    look = Looker.opened(open_source(config), config, None).look(0)[0]
    assert np.abs(look.face_HWC.astype(int) - starter.faces.images_NHWC[40]).mean() < 3


def test_an_image_that_the_table_lacks_has_no_face_and_stops_nothing(tmp_path, starter):
    (tmp_path / "set/anna").mkdir(parents=True)
    Image.fromarray(np.zeros((90, 80, 3), np.uint8)).save(tmp_path / "set/anna/0.png")
    (tmp_path / "p.csv").write_text("file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n")
    config = SourceConfig(
        kind="folder", path=str(tmp_path / "set"), landmarks=str(tmp_path / "p.csv"), detector=None
    )
    assert Looker.opened(open_source(config), config, None).look(0)[0].face_HWC is None
