"""Pack ICT-FaceKit's head model for the package.

`python -m factory.rendering.head.pack_assets FILE`

FILE is an .npz of ICT-FaceKit's light model (github.com/USC-ICT/ICT-FaceKit, MIT; Li et al. 2020,
"Learning formation of physically-based face attributes"): V the mean [V, 3] in centimeters, F and
FT triangles of vertices and of T, the texture coordinates (a tile for each material), M the
triangles' materials, I [100, V, 3] and E [53, V, 3] displacements by identity and expression, names
of E, lm 68 vertices. What comes out is factory/rendering/assets/ict_facekit.npz, or the path after
FILE; the same FILE gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from factory.rendering.head.head_file import Parents, encoded

OUT = Path(__file__).parent / "assets" / "ict_facekit.npz"
IDENTITY_STEP = 4.5e-5
"""Centimeters; 100 components at two standard deviations are off by .0078 at most (`worst_error`),
and their largest displacement, 1.34, is 16 bits."""
EXPRESSION_STEP = 1.5e-4
"""Sixteen whole expressions at once are off by .0021 at most."""
_FLIP = np.array([-1, 1, 1], np.float32)


def worst_error(
    num_components: int, sigmas: float, identity_step: float, weights: float, expression_step: float
) -> float:
    """Centimeters by which no vertex can be off, however the errors of all coefficients add up."""
    steps = num_components * sigmas * identity_step + weights * expression_step
    return float(np.sqrt(3) * steps / 2)


def pack(source: Path, target: Path) -> None:
    """Write the packed head model of `source`."""
    with np.load(source, allow_pickle=False) as archive:
        data = {key: archive[key] for key in archive.files}
    mean, identity = data["V"].astype(np.float32), data["I"].astype(np.float32)
    mirror_V = nearest(mean, mean * _FLIP)
    parents = parents_of(mean, data["F"], mirror_V)
    parity_K = parity_of(identity, mirror_V)
    names, material_F = np.unique(data["M"], return_inverse=True)
    arrays = {
        "mean_V3": mean,
        "faces_F3": data["F"].astype(np.uint16),
        "uv_T2": data["T"].astype(np.float32),
        "uv_faces_F3": data["FT"].astype(np.uint16),
        "material_F": material_F.astype(np.uint8),
        "materials": names,
        "expression_names": data["names"],
        "landmarks_68": data["lm"].astype(np.uint16),
        "parent_V": parents.parent_V.astype(np.uint16),
        "mirrored_V": parents.mirrored_V,
        "parity_K": parity_K.astype(np.int8),
        "identity_step": np.float64(IDENTITY_STEP),
        "expression_step": np.float64(EXPRESSION_STEP),
    }
    even = np.ones(len(data["E"]), np.int32)
    for kind, values, step, parity in (
        ("identity", identity, IDENTITY_STEP, parity_K),
        ("expression", data["E"].astype(np.float32), EXPRESSION_STEP, even),
    ):
        code = encoded(np.rint(values / step), parents, parity)
        arrays[f"{kind}_low"] = (code & 255).astype(np.uint8)
        arrays[f"{kind}_high"] = (code >> 8).astype(np.uint8)
    np.savez_compressed(target, **arrays)


def parents_of(mean_V3: np.ndarray, faces_F3: np.ndarray, mirror_V: np.ndarray) -> Parents:
    """Neighbors breadth first on the side x <= 0; mirrored vertices on the other side."""
    right = (mean_V3[:, 0] > 0) & (mean_V3[mirror_V, 0] <= 0)
    edges = faces_F3[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
    edges = edges[~right[edges].any(1)]
    parent = np.where(right, mirror_V, np.arange(len(mean_V3)))
    reached = right.copy()
    while not reached.all():
        front = np.array([np.flatnonzero(~reached)[0]])
        reached[front] = True
        while len(front):
            onward = edges[np.isin(edges[:, 0], front) & ~reached[edges[:, 1]]]
            front, first = np.unique(onward[:, 1], return_index=True)
            parent[front], reached[front] = onward[first, 0], True
    return Parents(parent, right)


def parity_of(identity_KV3: np.ndarray, mirror_V: np.ndarray) -> np.ndarray:
    """For each component 1 where it is symmetric, -1 where it is the opposite on the other side."""
    other = identity_KV3[:, mirror_V] * _FLIP
    return np.where((identity_KV3 * other).sum((1, 2)) >= 0, 1, -1).astype(np.int32)


def nearest(points_N3: np.ndarray, queries_M3: np.ndarray) -> np.ndarray:
    """For each query the nearest of some points [M], the first one of equals."""
    found = []
    for start in range(0, len(queries_M3), 512):
        apart = queries_M3[start : start + 512, None] - points_N3
        found.append(np.square(apart).sum(-1).argmin(1))
    return np.concatenate(found)


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit("usage: python -m factory.rendering.head.pack_assets FILE [OUT]")
    pack(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else OUT)
