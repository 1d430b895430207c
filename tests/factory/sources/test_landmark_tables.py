"""Tables of points are read in whatever order they are written, or refused in words."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.alignment import TEMPLATE_52, similarity_transform
from factory.sources.base import CorruptImageError
from factory.sources.landmark_tables import fit, plausible, read_landmarks
from factory.sources.readers import FaceDecoder

NAMED = [f"{axis}{point}" for point in range(1, 6) for axis in "xy"]
HEADER = ",".join(["file", *NAMED])
UNNAMED = [f"n{number}" for number in range(10)]
POINTS = np.stack([TEMPLATE_52 * size + [40, 60] for size in (1.0, 1.5, 2.0)])
"""Three faces in images of 320 x 320."""
SIZE = (320, 320)


def left_over(residual: float) -> np.ndarray:
    """The template, upright, of which the best similarity leaves just this part of the variance."""
    w_5 = TEMPLATE_52[:, 0] + 1j * TEMPLATE_52[:, 1]
    w_5 = w_5 - w_5.mean()
    v_5 = np.arange(5) ** 2 + 0j
    v_5 -= v_5.mean()
    v_5 -= w_5 * np.vdot(w_5, v_5) / np.vdot(w_5, w_5)  # now no part of it is like w
    v_5 *= np.sqrt(residual / (1 - residual)) * np.linalg.norm(w_5) / np.linalg.norm(v_5)
    return np.stack([(w_5 + v_5).real, (w_5 + v_5).imag], -1)[None]


@pytest.mark.parametrize(("residual", "is_face"), [(0.19, True), (0.21, False)])
def test_a_fifth_of_the_variance_may_be_left_over(residual, is_face):
    points = left_over(residual)
    assert fit(points).residual_N == pytest.approx([residual])
    assert fit(points).roll_deg_N == pytest.approx([0], abs=1e-9)
    assert plausible(points, 8).tolist() == [is_face]


@pytest.mark.parametrize(("degrees", "is_face"), [(29, True), (-29, True), (31, False)])
def test_a_face_is_turned_by_thirty_degrees_at_most(degrees, is_face):
    turn = np.exp(1j * np.radians(degrees))
    z_5 = (TEMPLATE_52[:, 0] + 1j * TEMPLATE_52[:, 1]) * turn
    points = np.stack([z_5.real, z_5.imag], -1)[None]
    assert fit(points).roll_deg_N == pytest.approx([degrees])
    assert plausible(points, 8).tolist() == [is_face]


def write(path, header, values_N10, names=("a/1.jpg", "a/2.jpg", "b/1.jpg"), separator=","):
    rows = [separator.join(["file", *header])]
    rows += [
        separator.join([name, *(str(round(float(value), 6)) for value in values)])
        for name, values in zip(names, np.asarray(values_N10).reshape(len(names), -1), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def points_of(table, name="a/2.jpg", size=SIZE):
    return table.points([name], *size)


def apart(points_N52: np.ndarray) -> np.ndarray:
    """x of all points before y of all."""
    return points_N52.transpose(0, 2, 1)


def exchanged(points_N52: np.ndarray) -> np.ndarray:
    return points_N52[:, [1, 0, 2, 4, 3]]


@given(st.floats(0.2, 5), st.floats(-179, 179), st.floats(-50, 50))
def test_a_similarity_leaves_nothing(scale, roll_deg, shift):
    angle = np.radians(roll_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = fit((TEMPLATE_52 @ (scale * rotation).T + shift)[None])
    assert found.residual_N[0] == pytest.approx(0, abs=1e-9)
    assert found.roll_deg_N[0] == pytest.approx(roll_deg, abs=1e-6)
    assert found.side_px_N[0] == pytest.approx(112 * scale)


@given(st.lists(st.floats(-100, 100), min_size=10, max_size=10))
def test_the_residual_is_that_of_the_best_similarity(values):
    """The closed form against least squares by Umeyama, who fits the template to the points."""
    points = np.array(values).reshape(5, 2)
    centered = points - points.mean(0)
    if (centered**2).sum() < 1:
        return
    matrix = similarity_transform(TEMPLATE_52, points)
    left = ((TEMPLATE_52 @ matrix[:, :2].T + matrix[:, 2] - points) ** 2).sum()
    assert fit(points[None]).residual_N[0] == pytest.approx(left / (centered**2).sum(), abs=1e-6)


def test_points_of_other_orders_are_no_faces():
    assert plausible(POINTS, 8).all()
    for other in (exchanged(POINTS), apart(POINTS).reshape(-1, 5, 2), POINTS[..., ::-1], -POINTS):
        assert not plausible(other, 8).any()
    assert not plausible(POINTS / 100, 8).any()
    assert not plausible(np.zeros((1, 5, 2)), 0).any()


def test_a_plain_table_is_read_as_it_is(tmp_path):
    table = read_landmarks(write(tmp_path / "t.csv", NAMED, POINTS))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)
    assert (len(table), table.remarks) == (3, ())
    assert table.points(["c/1.jpg"], *SIZE) is None
    np.testing.assert_allclose(points_of(table, "./a/2.jpg"), POINTS[1], atol=1e-5)


def test_fractions_are_of_the_images_width_and_height(tmp_path):
    table = read_landmarks(write(tmp_path / "t.csv", NAMED, POINTS / [320, 640]))
    assert table.remarks == ("source.landmarks: points are fractions of the width and height",)
    np.testing.assert_allclose(points_of(table, size=(320, 640)), POINTS[1], atol=1e-3)


@pytest.mark.parametrize(
    "header",
    [
        [f"{axis}{point}" for axis in "xy" for point in range(1, 6)],
        [f"{axis}_{point}" for axis in "XY" for point in range(5)],
        [f"{point} {axis}" for axis in "xy" for point in ("leye", "reye", "nose", "lm", "rm")],
    ],
)
def test_a_header_says_the_order(tmp_path, header):
    table = read_landmarks(write(tmp_path / "t.csv", header, apart(POINTS)))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)
    assert table.remarks == ()


def test_without_names_the_order_is_the_one_of_faces(tmp_path):
    table = read_landmarks(write(tmp_path / "t.csv", UNNAMED, apart(POINTS)))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)
    (remark,) = table.remarks
    assert "points are in the order x1,x2,..,y1,y2,.." in remark


def test_columns_of_boxes_and_scores_are_no_points(tmp_path):
    header = ["box_x", "box_y", "box_w", "box_h", *NAMED, "score"]
    values = np.concatenate([np.ones((3, 4)), POINTS.reshape(3, 10), np.ones((3, 1))], 1)
    table = read_landmarks(write(tmp_path / "t.csv", header, values))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)


@pytest.mark.parametrize("order", [lambda points: points, apart])
def test_a_mirrored_table_is_exchanged_with_a_word(tmp_path, order):
    table = read_landmarks(write(tmp_path / "t.csv", UNNAMED, order(exchanged(POINTS))))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)
    assert "left and right are exchanged" in table.remarks[-1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (apart(POINTS), "x1,x2,..,y1,y2,.. order"),
        (POINTS[..., ::-1], "y before x"),
        (np.stack([-POINTS[..., 1], POINTS[..., 0]], -1) + 300, "images turned by 90 degrees"),
        (np.stack([POINTS[..., 1], -POINTS[..., 0]], -1) + 300, "images turned by 270 degrees"),
        (400 - POINTS, "images upside down"),
        (POINTS / 50, "coordinates in other units than pixels"),
        (POINTS[:, [0, 2, 1, 4, 3]], "another layout than left eye"),
    ],
)
def test_a_table_of_no_faces_is_refused_in_one_line(tmp_path, values, words):
    with pytest.raises(SourceError, match=r"source\.landmarks: .*100% can be no faces") as caught:
        read_landmarks(write(tmp_path / "t.csv", NAMED, values))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_few_rows_of_no_faces_are_told(tmp_path):
    values = np.concatenate([POINTS[:2], POINTS[2:, ::-1]])
    table = read_landmarks(write(tmp_path / "t.csv", NAMED, values))
    assert table.remarks == (
        "source.landmarks: 33.3% of the rows are no upright face's, or a profile's",
    )


def test_of_several_faces_of_a_file_the_largest_counts(tmp_path):
    for order in (slice(None), slice(None, None, -1)):
        file = write(tmp_path / "t.csv", NAMED, POINTS[order], names=["a/1.jpg"] * 3)
        table = read_landmarks(file)
        np.testing.assert_allclose(points_of(table, "a/1.jpg"), POINTS[2], atol=1e-5)
        assert table.remarks[0].startswith("source.landmarks: 2 rows are further faces of a file")


@pytest.mark.parametrize(("shift", "is_inside"), [(-80, True), (-115, False), (140, False)])
def test_points_outside_an_image_are_refused(tmp_path, shift, is_inside):
    """The face of 112 pixels lies at (40, 60); points may be 5 % of the side outside."""
    data = BytesIO()
    Image.new("RGB", (240, 200), "teal").save(data, "PNG")
    file = write(tmp_path / "t.csv", NAMED, POINTS + np.array([shift, 0]))
    decoder = FaceDecoder(SourceConfig(kind="folder", path="x", landmarks=file))
    if is_inside:
        assert decoder.face(data.getvalue(), "key", ["a/1.jpg"], 0).image_HWC.shape == (112, 112, 3)
        return
    with pytest.raises(CorruptImageError, match="key: its landmarks lie outside its 240x200 pix"):
        decoder.face(data.getvalue(), "key", ["a/1.jpg"], 0)


def test_semicolons_leave_the_comma_to_decimals(tmp_path):
    file = tmp_path / "t.csv"
    values = ";".join(f"{value:.3f}".replace(".", ",") for value in POINTS[1].ravel())
    file.write_text(";".join(["file", *NAMED]) + f"\na/2.jpg;{values}\n")
    np.testing.assert_allclose(points_of(read_landmarks(str(file))), POINTS[1], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x/1.jpg,1,2,3,4,5,6,7,8,9,10\n", "line 1 is no header"),
        (f"{HEADER}\nx/1.jpg,1,2,3,4,5,6,7,8,9,here\n", "line 2 column 11 is no number"),
        (f"{HEADER}\nx/1.jpg,1,2,3\n", r"line 2 column 5 \('y2'\) is missing"),
    ],
)
def test_what_is_no_table_of_points_is_refused_with_its_place(tmp_path, text, message):
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(SourceError, match=rf"source\.landmarks: .*{message}"):
        read_landmarks(str(file))
    with pytest.raises(SourceError, match=r"source\.landmarks: no file"):
        read_landmarks(str(tmp_path / "none.csv"))


@pytest.mark.parametrize("numbers", [2, 2 * 98, 2 * 106, 3 * 68, 10 + 512, 3 * 468])
def test_other_layouts_are_refused(tmp_path, numbers):
    file = write(tmp_path / "t.csv", [f"n{n}" for n in range(numbers)], np.ones(numbers), ["a"])
    with pytest.raises(SourceError, match=rf"line 2 has {numbers} numbers, which are not x and y"):
        read_landmarks(file)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("count", "groups"),
    [
        (68, ([*range(36, 42)], [*range(42, 48)], [30], [48], [54])),
        (478, ([33, 133], [362, 263], [1], [61], [291])),
    ],
)
def test_five_points_of_many(tmp_path, count, groups, named):
    points = np.zeros((count, 2))
    for place, group in zip(POINTS[1], groups, strict=True):
        points[group] = place + (np.arange(len(group)) - (len(group) - 1) / 2)[:, None]
    name = "{axis}{point}" if named else "n{point}{axis}z"
    header = [name.format(axis=axis, point=point) for point in range(count) for axis in "xy"]
    table = read_landmarks(write(tmp_path / "t.csv", header, points, ["a/2.jpg"]))
    np.testing.assert_allclose(points_of(table), POINTS[1], atol=1e-5)


def test_an_empty_table_has_no_points(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(f"{HEADER}\n")
    assert len(read_landmarks(str(file))) == 0
