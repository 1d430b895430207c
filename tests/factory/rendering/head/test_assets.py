"""The packed head model: what it holds, how exact it is, and what a broken file is answered."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from factory.errors import SourceError
from factory.rendering.head.head import ASSETS
from factory.rendering.head.head_file import Parents, decoded, encoded, read_head_file
from factory.rendering.head.pack_assets import nearest, pack, parents_of, parity_of, worst_error
from tests.outside import DATA

FILE = ASSETS / "ict_facekit.npz"
ORIGINAL = DATA / "ict_facekit" / "ict_facekit_f16.npz"


@pytest.fixture(scope="module")
def head_file():
    return read_head_file(FILE)


def test_the_file_is_small_and_has_its_license_beside_it():
    assert FILE.stat().st_size <= 7_000_000
    text = (ASSETS / "LICENSE-ICT-FaceKit").read_text()
    assert "MIT License" in text
    assert "USC Institute for Creative Technologies" in text


def test_it_holds_the_whole_model(head_file):
    assert head_file.mean_V3.shape == (26719, 3)
    assert head_file.identity_KV3.shape == (100, 26719, 3)
    assert head_file.expressions_KV3.shape == (53, 26719, 3)
    assert head_file.identity_KV3.dtype == head_file.expressions_KV3.dtype == np.float32
    assert len(set(head_file.expression_names)) == 53
    assert head_file.faces_F3.shape == head_file.uv_faces_F3.shape == (52220, 3)
    assert head_file.faces_F3.max() == len(head_file.mean_V3) - 1
    assert head_file.uv_faces_F3.max() == len(head_file.uv_T2) - 1
    face = head_file.uv_T2[head_file.uv_faces_F3[head_file.materials_F == "M_Face"]]
    assert 0 <= face.min() < 0.1 < 0.9 < face.max() <= 1
    assert {"M_Face", "M_BackHead", "M_ScleraLeft", "M_Teeth", "M_EyeLashes"} <= set(
        head_file.materials_F
    )


def test_it_moves_vertices_as_the_original_does(head_file):
    """Numbers of ICT-FaceKit: corners of the mouth and the chin, and root mean squares of all."""
    corners, chin = head_file.landmarks_68[[48, 54]], head_file.landmarks_68[8]
    assert corners.tolist() == [5708, 6213]
    expected = {
        0: [[0.1218, 0.3569, -0.0926], [-0.1218, 0.3569, -0.0926]],
        9: [[0.0083, 0.0003, 0.0037], [0.0083, -0.0003, -0.0036]],  # one that is antisymmetric
        50: [[0.0075, -0.0036, -0.0123], [-0.0075, -0.0036, -0.0123]],
    }
    for component, moved in expected.items():
        assert np.allclose(head_file.identity_KV3[component, corners], moved, atol=1.1e-4)
    expressions = dict(zip(head_file.expression_names, head_file.expressions_KV3, strict=True))
    assert np.allclose(expressions["jawOpen"][chin], [0, -2.8164, -2.9062], atol=2e-4)
    smile = expressions["mouthSmile_R"][corners]
    assert np.allclose(smile, [[-0.7065, 1.0498, -0.9062], [0, 0, 0]], atol=2e-4)
    size_K = np.sqrt(np.square(head_file.identity_KV3.astype(float)).mean((1, 2)))
    assert size_K[[0, 9, 50, 99]] == pytest.approx([0.21639, 0.0381, 0.00796, 0.00367], rel=2e-3)
    assert np.sqrt(np.square(expressions["eyeBlink_L"]).mean()) == pytest.approx(0.0806, rel=1e-3)


def test_no_vertex_can_be_off_by_a_tenth_of_a_millimeter(head_file):
    """Half a step for each of 100 coefficients of two sigmas and 16 whole expressions."""
    steps = head_file.identity_step, head_file.expression_step
    assert worst_error(100, 2.0, steps[0], 16.0, steps[1]) < 0.01
    assert worst_error(1, 2.0, 1.0, 0.0, 1.0) == pytest.approx(np.sqrt(3))
    for step, values in zip(
        steps, (head_file.identity_KV3, head_file.expressions_KV3), strict=True
    ):
        part = values[::9].astype(np.float64) / step
        assert np.abs(part - np.rint(part)).max() < 0.01  # whole steps, so rounded by half of one


@pytest.mark.skipif(not ORIGINAL.exists(), reason="no ../shared/data")
def test_the_original_is_met_to_a_tenth_of_a_millimeter(head_file):
    with np.load(ORIGINAL, allow_pickle=False) as original:
        assert np.array_equal(head_file.mean_V3, original["V"])
        assert np.array_equal(head_file.faces_F3, original["F"])
        assert np.array_equal(head_file.uv_T2, original["T"])
        assert np.array_equal(head_file.uv_faces_F3, original["FT"])
        assert np.array_equal(head_file.materials_F, original["M"])
        assert np.array_equal(head_file.landmarks_68, original["lm"])
        assert head_file.expression_names == original["names"].tolist()
        identity_V = sum(
            np.linalg.norm(ours - theirs, axis=1)
            for ours, theirs in zip(
                head_file.identity_KV3, original["I"].astype(np.float32), strict=True
            )
        )
        expressions_V = sum(
            np.linalg.norm(ours - theirs, axis=1)
            for ours, theirs in zip(
                head_file.expressions_KV3, original["E"].astype(np.float32), strict=True
            )
        )
    assert (2 * identity_V + expressions_V).max() < 0.01  # however coefficients' errors add up


def small_model(tmp_path, rng):
    """A strip of triangles on either side of x = 0, the second one the mirror of the first."""
    left = np.array([[-1.0 - i, j, 0.1 * i * j] for i in range(4) for j in (0, 1)])
    mean = np.concatenate([left, left * [-1, 1, 1]]).astype(np.float32)
    strip = np.array([[i, i + 1, i + 2] for i in range(6)])
    smooth = (0.2 * rng.standard_normal((5, 8, 3))).astype(np.float16)
    parity = np.array([1, -1, 1, -1, 1])
    other = smooth * (parity[:, None, None] * np.array([-1, 1, 1]))
    identity = np.concatenate([smooth, other], 1).astype(np.float16)
    file = tmp_path / "model.npz"
    np.savez(
        file, V=mean, T=mean[:, :2], F=np.concatenate([strip, strip + 8]).astype(np.int32),
        FT=np.concatenate([strip, strip + 8]).astype(np.int32), M=np.array(["M_Face"] * 12),
        I=identity, E=rng.standard_normal((2, 16, 3)).astype(np.float16),
        names=np.array(["open", "shut"]), lm=np.arange(16).repeat(5)[:68],
    )  # fmt: skip
    return file, mean, identity.astype(np.float32), parity


def test_what_is_packed_is_read_again(tmp_path):
    file, mean, identity, _ = small_model(tmp_path, np.random.default_rng(5))
    pack(file, tmp_path / "first.npz")
    pack(file, tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    packed = read_head_file(tmp_path / "first.npz")
    assert np.array_equal(packed.mean_V3, mean)
    assert np.abs(packed.identity_KV3 - identity).max() <= packed.identity_step * 0.51
    with np.load(file) as original:
        apart = np.abs(packed.expressions_KV3 - original["E"].astype(np.float32)).max()
    assert apart <= packed.expression_step * 0.51
    assert packed.expression_names == ["open", "shut"]


def test_mirrored_vertices_and_parities_are_found(tmp_path):
    _, mean, identity, parity = small_model(tmp_path, np.random.default_rng(6))
    mirror = nearest(mean, mean * np.array([-1, 1, 1], np.float32))
    assert np.array_equal(mirror, np.r_[8:16, 0:8])
    assert np.array_equal(parity_of(identity, mirror), parity)
    parents = parents_of(mean, np.array([[i, i + 1, i + 2] for i in range(6)]), mirror)
    assert np.array_equal(parents.parent_V, [0, 0, 0, 2, 2, 4, 4, 6, *range(8)])
    assert np.array_equal(parents.mirrored_V, np.arange(16) >= 8)
    assert [level.tolist() for level in parents.generations()[:2]] == [[1, 2, 8], [3, 4, 9, 10]]


@pytest.mark.parametrize("seed", range(3))
def test_codes_of_any_numbers_are_decoded_to_them(seed):
    rng = np.random.default_rng(seed)
    parent = np.array([0, 0, 1, 1, 4, 4, 2, 5, 0, 6])
    parents = Parents(parent, rng.random(10) < 0.4)
    parity = np.array([1, -1, -1], np.int32)
    whole = rng.integers(-9000, 9000, (3, 10, 3))
    code = encoded(whole, parents, parity)
    assert code.dtype == np.uint16
    assert np.array_equal(decoded(code, parents, parity), whole)


def test_codes_are_zigzags_of_differences():
    """5, 7 and 8 along a chain, and on the other side 8 again where it would be -8 in x."""
    parents = Parents(np.array([0, 0, 1, 2]), np.array([False, False, False, True]))
    whole = np.array([[[5, 5, 5], [7, 7, 7], [8, 8, 8], [8, 8, 8]]])
    code = encoded(whole, parents, np.ones(1, np.int32))
    assert code[0].tolist() == [[10, 4, 2, 32], [10, 4, 2, 0], [10, 4, 2, 0]]
    code = encoded(whole, parents, -np.ones(1, np.int32))
    assert code[0].tolist() == [[10, 4, 2, 0], [10, 4, 2, 32], [10, 4, 2, 32]]


def test_differences_beyond_sixteen_bits_are_refused():
    with pytest.raises(SourceError, match="larger step"):
        encoded(
            np.full((1, 1, 3), 40000),
            Parents(np.array([0]), np.array([False])),
            np.ones(1, np.int32),
        )


def damaged(kind, tmp_path):
    file = tmp_path / "head.npz"
    whole = FILE.read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "flipped":
        file.write_bytes(whole[:3_000_000] + bytes([whole[3_000_000] ^ 255]) + whole[3_000_001:])
    elif kind == "text":
        file.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif kind == "array":
        with file.open("wb") as out:
            np.save(out, np.arange(3))
    elif kind == "lacking":
        np.savez(file, mean_V3=np.zeros(3))
    elif kind == "pickled":
        with zipfile.ZipFile(FILE) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        np.savez(file, **{name: np.array([{}], dtype=object) for name in names})
    return file


KINDS = ("missing", "empty", "cut", "flipped", "text", "array", "lacking", "pickled")


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_answered_in_one_line(kind, tmp_path):
    file = damaged(kind, tmp_path)
    with pytest.raises(SourceError) as refused:
        read_head_file(file)
    message = str(refused.value)
    assert message.startswith(f"{file}: ")
    assert "pack_assets" in message
    assert "\n" not in message
