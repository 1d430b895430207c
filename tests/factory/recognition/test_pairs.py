"""Pairs files: LFW's lines, and insightface's .bin through an unpickler that runs nothing."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from factory.errors import SourceError
from factory.recognition.pairs import Pairs, read_bin, read_lfw
from tests.conftest import PX, draw_face


def png(person: int, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_face(person, image)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(0, 0), png(0, 1), png(0, 2), png(1, 0)]


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_lfw_lines(tmp_path):
    file = tmp_path / "pairs.txt"
    file.write_text("2\t1\nA_B\t1\t12\nA_B\t1\tC\t3\nD\t1\t2\nC\t1\tD\t2\n")
    pairs, same, folds = read_lfw(file)
    assert pairs[:2] == [("A_B/A_B_0001", "A_B/A_B_0012"), ("A_B/A_B_0001", "C/C_0003")]
    assert pairs[2:] == [("D/D_0001", "D/D_0002"), ("C/C_0001", "D/D_0002")]
    assert same.tolist() == [True, False, True, False]
    assert folds == 2
    file.write_text("2\t1\nA_B\t1\n")
    with pytest.raises(SourceError, match="line 2"):
        read_lfw(file)
    for text, line in (("", 1), ("ten\t300\n", 1), ("2\t1\nA\tone\t2\n", 2)):
        file.write_text(text)
        with pytest.raises(SourceError, match=f"line {line}"):
            read_lfw(file)


FOLD = "A 1 2\nA 1 3\nA 1 B 1\nA 2 B 1\n"


@pytest.mark.parametrize("head", ["3 zz", "zz 2", "3 2 foo", "3 0", "1 6", "0", "³ 2", "3 -2"])
def test_a_first_line_is_one_number_or_two_and_nothing_else(tmp_path, head):
    (tmp_path / "pairs.txt").write_text(f"{head}\n{FOLD * 3}")
    with pytest.raises(SourceError, match=f"line 1: got '{head}'; want the number of folds"):
        read_lfw(tmp_path / "pairs.txt")


def test_a_file_has_as_many_pairs_of_each_kind_as_its_first_line_says(tmp_path):
    """So one that was cut off after a fold is not read as if it were whole."""
    file = tmp_path / "pairs.txt"
    file.write_text("3 2\n" + FOLD * 3)
    assert (len(read_lfw(file)[0]), read_lfw(file)[2]) == (12, 3)
    for text in (FOLD, FOLD * 2, FOLD * 4, FOLD * 3 + "A 1 2\n", FOLD * 3 + "A 1 B 2\n"):
        file.write_text("3 2\n" + text)
        with pytest.raises(SourceError, match="line 1: got `3 2`, which is 6 pairs of each kind"):
            read_lfw(file)


def test_a_single_number_counts_pairs_of_each_kind(tmp_path):
    """pairsDevTest.txt: the pairs of a kind, which have the usual ten folds."""
    file = tmp_path / "pairsDevTest.txt"
    file.write_text("2\nA 1 2\nB 1 2\nA 1 B 1\nA 2 B 2\n")
    assert read_lfw(file)[1].tolist() == [True, True, False, False]
    assert read_lfw(file)[2] == 10
    file.write_text("10\nA 1 2\nA 1 B 1\n")
    with pytest.raises(SourceError, match=r"line 1: got 10 alone.*1 genuine and 1 impostor.*`10 3"):
        read_lfw(file)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("as_arrays", [False, True])
def test_a_bin_of_bytes_or_arrays(tmp_path, protocol, as_arrays):
    images = [np.frombuffer(data, np.uint8) for data in IMAGES] if as_arrays else IMAGES
    pairs = read_bin(write(tmp_path / "x.bin", (images, [True, False]), protocol), PX)
    assert pairs.same.tolist() == [True, False]
    assert np.array_equal(pairs.images_NHWC[3], draw_face(1, 0))


def test_people_of_pairs_are_numbered_by_name():
    known = Pairs(np.empty(0), np.array([True, False, False]), people=tuple("BBBACA"))
    assert known.numbers_N2 is not None
    assert known.numbers_N2.tolist() == [[1, 1], [1, 0], [2, 0]]
    assert Pairs(np.empty(0), np.array([True, False])).numbers_N2 is None


def test_a_bin_of_python_2(tmp_path):
    """Protocol 2 with str for bytes, as the published files have it."""
    body = b"".join(b"T" + len(data).to_bytes(4, "little") + data for data in IMAGES)
    (tmp_path / "x.bin").write_bytes(b"\x80\x02](" + b"](" + body + b"e](\x88\x89ee.")
    assert read_bin(tmp_path / "x.bin", PX).images_NHWC.shape == (4, PX, PX, 3)


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch /tmp/owned-by-a-bin",))


def test_a_bin_that_wants_to_run_code_is_refused_by_name(tmp_path):
    file = write(tmp_path / "x.bin", ([Hostile()], [True]))
    with pytest.raises(SourceError, match=r"x\.bin asks for (posix|nt)\.system; a \.bin may hold"):
        read_bin(file, PX)
    assert not os.path.exists("/tmp/owned-by-a-bin")
    objects = np.array([{}, []], dtype=object)
    with pytest.raises(SourceError, match="holds an array of object"):
        read_bin(write(tmp_path / "y.bin", (objects, [True])), PX)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", r"is not \(images, same-person flags\)"),
        ((IMAGES, [True]), "4 images and 1 flags"),
        ((IMAGES[:2], ["yes"]), "2 images and 1 flags"),
        (([1, 2], [True]), "holds a int for an image"),
        (([b"no image"] * 2, [True]), r"x\.bin\[0\]: not a readable image"),
    ],
)
def test_what_is_no_bin_is_refused(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        read_bin(write(tmp_path / "x.bin", content), PX)


def test_images_of_another_size_are_refused(tmp_path):
    file = write(tmp_path / "x.bin", (IMAGES, [True, False]))
    with pytest.raises(SourceError, match=r"source\.image_px: .* is 32x32, not 112x112"):
        read_bin(file, 112)
    with pytest.raises(SourceError, match="is no file"):
        read_bin(tmp_path / "none.bin", PX)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_bins_raise_the_named_error_and_nothing_else(tmp_path, data):
    content = bytearray(pickle.dumps((IMAGES, [True, False]), protocol=2))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.bin").write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        pairs = read_bin(tmp_path / "x.bin", PX)
    except SourceError:
        return
    assert len(pairs.images_NHWC) == 2 * len(pairs.same)


def test_a_background_shows_through_transparent_images_of_a_bin(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGBA", (PX, PX), (9, 9, 9, 0)).save(buffer, "PNG")
    path = write(tmp_path / "x.bin", ([buffer.getvalue()] * 4, [True, False]), 4)
    assert (read_bin(path, PX, background=77).images_NHWC == 77).all()
