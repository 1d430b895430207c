"""Faces of images of other sizes are looked for once, and what a person should know is said."""

from __future__ import annotations

import numpy as np
import pytest

from factory.sources import open_source, read_faces, readers
from factory.sources.base import CorruptImageError, Subset
from tests.conftest import PX
from tests.factory.sources.test_readers import folder_config, png, write_tar
from tests.unaligned import ShiftDetector

HEADER = "file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"


def test_a_face_is_looked_for_only_where_an_image_has_another_size(tmp_path, monkeypatch):
    looked = []

    class Notes(ShiftDetector):
        """Notes the images that it is shown."""

        def faces(self, image_HWC):
            looked.append(image_HWC.shape)
            return super().faces(image_HWC)

    monkeypatch.setattr(readers, "YuNet", Notes)
    (tmp_path / "finds.onnx").write_text("0")
    sizes = {"p/aligned.png": (PX, PX), "p/large.png": (60, 50), "p/told.png": (50, 40)}
    write_tar(tmp_path / "a.tar", {n: png(np.zeros((*s, 3), np.uint8)) for n, s in sizes.items()})
    (tmp_path / "points.csv").write_text(f"{HEADER}\np/told.png,10,10,30,10,20,20,12,30,28,30\n")
    settings = {"detector": str(tmp_path / "finds.onnx")}
    config = folder_config(tmp_path / "a.tar", landmarks=str(tmp_path / "points.csv"), **settings)
    source = open_source(config)
    assert [source[index].image_HWC.shape for index in range(3)] == [(PX, PX, 3)] * 3
    assert looked == [(60, 50, 3)]


def test_images_with_several_faces_are_counted_once_and_said(tmp_path, monkeypatch):
    class Two(ShiftDetector):
        """Finds two faces where an image is not dark."""

        def faces(self, image_HWC):
            return np.repeat(super().faces(image_HWC), 1 + (image_HWC[0, 0, 0] > 9), 0)

    monkeypatch.setattr(readers, "YuNet", Two)
    (tmp_path / "finds.onnx").write_text("0")
    images = {f"p/{i}.png": png(np.full((50, 40, 3), 5 * i, np.uint8)) for i in range(5)}
    write_tar(tmp_path / "a.tar", images)
    config = folder_config(tmp_path / "a.tar", detector=str(tmp_path / "finds.onnx"))
    source = open_source(config)
    part = Subset(source, 0, 1)
    assert source.remarks == ()
    for _ in range(2):
        faces = read_faces(source, 0.0)
    (remark,) = faces.remarks
    assert part.remarks == (remark,)
    assert remark.startswith("source.detector: 3 images hold several faces; the largest central")


def test_an_image_without_a_face_is_told_what_else_it_may_be(tmp_path):
    for size, hint in (((50, 40), "face found$"), ((50, 50), "face found; aligned faces of anot")):
        write_tar(tmp_path / "a.tar", {"p/0.png": png(np.zeros((*size, 3), np.uint8))})
        with pytest.raises(CorruptImageError, match=f"p/0: no {hint}"):
            open_source(folder_config(tmp_path / "a.tar"))[0]
