"""The file of the head model: ICT-FaceKit's mesh in whole numbers, and what they are steps of.

Components and expressions are displacements of vertices, smooth over the mesh and nearly symmetric,
so a vertex is stored as its difference from another one, its parent: a neighbor on the head's one
side, the mirrored vertex for the other side. Differences are zigzag codes of 16 bits, their low and
high bytes apart, for deflate. `pack_assets` writes such a file of ICT-FaceKit.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.errors import SourceError

KEYS = frozenset(
    "mean_V3 faces_F3 uv_T2 uv_faces_F3 material_F materials expression_names landmarks_68 "
    "parent_V mirrored_V parity_K identity_step expression_step identity_low identity_high "
    "expression_low expression_high".split()
)


@dataclass(frozen=True)
class HeadFile:
    """What a file holds; positions and displacements in centimeters, float32."""

    mean_V3: np.ndarray
    faces_F3: np.ndarray
    uv_T2: np.ndarray
    uv_faces_F3: np.ndarray
    """Places of the triangles' corners in uv_T2."""
    materials_F: np.ndarray
    """Names."""
    identity_KV3: np.ndarray
    """Displacements by one standard deviation of each component."""
    expressions_KV3: np.ndarray
    """Displacements by each whole expression."""
    expression_names: list[str]
    landmarks_68: np.ndarray
    """Vertices."""
    identity_step: float
    """Displacements of a component are whole multiples of it; off by half of it at most."""
    expression_step: float


@dataclass(frozen=True)
class Parents:
    """From which vertex each one's displacements are predicted."""

    parent_V: np.ndarray
    """The vertex itself for those that are stored as they are."""
    mirrored_V: np.ndarray
    """Whether the parent is the vertex of the head's other side."""

    def generations(self) -> list[np.ndarray]:
        """Vertices by how many others they are predicted through, those through none left out."""
        depth = np.where(self.parent_V == np.arange(len(self.parent_V)), 0, -1)
        levels = [np.flatnonzero(depth == 0)]
        while len(levels[-1]):
            depth[levels[-1]] = len(levels) - 1
            levels.append(np.flatnonzero((depth < 0) & (depth[self.parent_V] >= 0)))
        return levels[1:-1]

    def signs(self, vertices: np.ndarray, parity_K: np.ndarray) -> np.ndarray:
        """What parents' displacements are multiplied by [R, K, 3]: 1, or a reflection in x."""
        reflected = parity_K[:, None] * np.array([-1, 1, 1], np.int32)
        return np.where(self.mirrored_V[vertices, None, None], reflected, np.int32(1))


def encoded(whole_KV3: np.ndarray, parents: Parents, parity_K: np.ndarray) -> np.ndarray:
    """Codes uint16 [K, 3, V] of whole numbers: zigzag of differences from the parents."""
    whole_VK3 = whole_KV3.transpose(1, 0, 2).astype(np.int32)
    rest = whole_VK3.copy()
    for level in parents.generations():
        rest[level] -= whole_VK3[parents.parent_V[level]] * parents.signs(level, parity_K)
    if np.abs(rest).max(initial=0) >= 2**15:
        raise SourceError("head model: differences beyond 16 bits; want a larger step")
    return np.ascontiguousarray(((rest << 1) ^ (rest >> 31)).transpose(1, 2, 0), np.uint16)


def decoded(code_K3V: np.ndarray, parents: Parents, parity_K: np.ndarray) -> np.ndarray:
    """Whole numbers int32 [K, V, 3] of `encoded`."""
    code = code_K3V.transpose(2, 0, 1).astype(np.int32)
    whole_VK3 = (code >> 1) ^ -(code & 1)
    for level in parents.generations():
        whole_VK3[level] += whole_VK3[parents.parent_V[level]] * parents.signs(level, parity_K)
    return np.ascontiguousarray(whole_VK3.transpose(1, 0, 2))


def read_head_file(file: Path) -> HeadFile:
    """The head model of a file of `pack_assets`; SourceError where it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            if lacking := sorted(KEYS - set(archive.files)):
                raise SourceError(f"{file}: no {lacking[0]} in it; {_REMEDY}")
            return _unpacked({key: archive[key] for key in KEYS})
    except FileNotFoundError:
        raise SourceError(f"{file}: missing; {_REMEDY}") from None
    except SourceError:
        raise
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{file}: not a head model ({reason}); {_REMEDY}") from None


_UNREADABLE = (
    *(OSError, ValueError, TypeError, IndexError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise of files that are cut, altered or something else."""
_REMEDY = "install the package again, or `python -m factory.rendering.head.pack_assets FILE`"


def _unpacked(data: dict[str, np.ndarray]) -> HeadFile:
    parents = Parents(data["parent_V"].astype(np.int64), data["mirrored_V"])
    even_E = np.ones(len(data["expression_names"]), np.int32)
    steps = float(data["identity_step"]), float(data["expression_step"])
    identity, expressions = (
        decoded(data[f"{kind}_high"].astype(np.uint16) << 8 | data[f"{kind}_low"], parents, parity)
        for kind, parity in (
            ("identity", data["parity_K"].astype(np.int32)),
            ("expression", even_E),
        )
    )
    return HeadFile(
        mean_V3=data["mean_V3"],
        faces_F3=data["faces_F3"].astype(np.int32),
        uv_T2=data["uv_T2"],
        uv_faces_F3=data["uv_faces_F3"].astype(np.int32),
        materials_F=data["materials"][data["material_F"]],
        identity_KV3=identity.astype(np.float32) * np.float32(steps[0]),
        expressions_KV3=expressions.astype(np.float32) * np.float32(steps[1]),
        expression_names=[str(name) for name in data["expression_names"]],
        landmarks_68=data["landmarks_68"].astype(np.int64),
        identity_step=steps[0],
        expression_step=steps[1],
    )
