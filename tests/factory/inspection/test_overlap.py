"""People and images of a benchmark in a source, by name, key and picture."""

from __future__ import annotations

import io
import pickle
import shutil

import pytest
from PIL import Image

from factory.errors import SourceError
from factory.inspection.inspect import inspect
from factory.inspection.looked import digest_of
from factory.inspection.overlap import open_pairs_file, plain_name, same_names
from factory.inspection.request import request_of


def test_names_are_the_same_however_they_are_spelled():
    assert plain_name("x/José_Núñez") == plain_name("jose\u0301 nu\u0301n\u0303ez")
    assert same_names(["Anna_B", "Carl"], ["anna b", "anna", "carlo"]) == ["Anna_B"]


def test_pairs_txt_is_found_by_names_and_keys(planted, tmp_path):
    (tmp_path / "pairs.txt").write_text("1\nP01\t1\t2\nnobody\t1\tp02\t3\n")
    (tmp_path / "set/P01").mkdir(parents=True)
    for name in ("P01_0002.png", "P01_0003.png"):
        shutil.copy(planted.root / "p01/0.png", tmp_path / "set/P01" / name)
    shutil.copytree(planted.root / "p02", tmp_path / "set/p02")
    request = request_of([str(tmp_path / "set")], pairs=str(tmp_path / "pairs.txt"), judge="none")
    found = inspect(request).found.pairs
    assert (found.num_pairs, found.num_people) == (2, 3)
    assert found.same_names == ["P01", "p02"]
    assert found.same_images == ["P01/P01_0002"]


def test_the_images_of_a_bin_are_found_by_their_pictures(planted, starter, tmp_path):
    stranger = starter.faces.images_NHWC[starter.faces.labels == 90]
    shown = [starter.faces.images_NHWC[0], stranger[0], stranger[1], stranger[2]]
    encoded = []
    for image in shown:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=80)
        encoded.append(buffer.getvalue())
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((encoded, [False, True])))
    found = inspect(
        request_of([str(planted.root)], pairs=str(tmp_path / "lfw.bin"), judge="none")
    ).found
    assert found.pairs.same_images == ["p00/0"]
    assert "1 of its 4 images" in found.pairs.note
    assert any("would say nothing" in line for line in found.warnings)


def test_no_such_pairs_is_one_line(planted):
    with pytest.raises(SourceError, match="--pairs: no such file 'nowhere'"):
        inspect(request_of([str(planted.root)], pairs="nowhere", judge="none", sample=1))


def test_pairs_are_read_before_any_image_is_looked_at(planted, tmp_path):
    (tmp_path / "lfw.bin").write_bytes(b"no pickle")
    (tmp_path / "pairs.txt").write_text("no numbers\nat all\n")

    def watch(name):
        raise AssertionError("looked at before the pairs were read")

    for name, line in (("lfw.bin", "--pairs: .*not a readable .bin"), ("pairs.txt", "--pairs: ")):
        request = request_of([str(planted.root)], pairs=str(tmp_path / name), judge="none")
        with pytest.raises(SourceError, match=line):
            inspect(request, watch)


def test_a_bin_has_images_of_its_own_size_and_the_same_bytes_are_told(planted, starter, tmp_path):
    stored = [(planted.root / f"p00/{name}.png").read_bytes() for name in (0, 1)]
    large = []
    for image in starter.faces.images_NHWC[starter.faces.labels == 1][:2]:
        buffer = io.BytesIO()
        Image.fromarray(image).resize((160, 160)).save(buffer, "PNG")
        large.append(buffer.getvalue())
    (tmp_path / "x.bin").write_bytes(pickle.dumps((stored + large, [True, True])))
    pairs = open_pairs_file(str(tmp_path / "x.bin"), 1_000_000)
    assert pairs.digests_M16[0].tobytes() == digest_of(stored[0])
    request = request_of([str(planted.root)], pairs=str(tmp_path / "x.bin"), judge="none")
    found = inspect(request).found.pairs
    assert found.same_images == ["p00/0", "p00/1", "p01/0", "p01/1"]
