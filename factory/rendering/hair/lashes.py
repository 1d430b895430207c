"""Lashes: curved strands from the edges of the lids, which close with them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.head.roots import RootedStrands, Roots, grown, rooted
from factory.rendering.parts import Label, Material, Part, StrandsPart
from factory.rendering.traits import Person

STREAM = 43
"""Of the random numbers of lashes, with a person's seed."""
UPPER, LOWER = (((36, 37, 38, 39), (45, 44, 43, 42)), ((36, 41, 40, 39), (45, 46, 47, 42)))
"""Landmarks of the lids' edges from the outer corner to the inner one."""
NUM_UPPER, NUM_LOWER = 70, 34
"""Of one eye; people have about twice as many, which at this radius would close the row."""
RADIUS = 0.013
"""Centimeters: twice that of a lash, for half as many."""
SEGMENTS = 4
"""Straight pieces of a lash."""


@dataclass(frozen=True)
class LidEdge:
    """The edge of a lid as vertices in a row, and the triangle beside each piece."""

    path_P: np.ndarray
    third_P: np.ndarray
    """The third corner of a triangle at the piece from a vertex to the next one."""
    upper: bool


@lru_cache(maxsize=2)
def lid_edges(model: HeadModel) -> tuple[LidEdge, ...]:
    """Four edges: upper and lower lids of the right eye, then of the left one."""
    faces = model.faces_F3[model.materials_F == "M_Face"]
    points = model.mean_V3[model.landmarks_68]
    edges = []
    for side in (0, 1):
        middle = points[list(UPPER[side][:1] + UPPER[side][3:])].mean(0)
        near = np.linalg.norm(model.mean_V3[faces].mean(1) - middle, axis=1) < 3.5
        for marks, upper in ((UPPER[side], True), (LOWER[side], False)):
            path = shortest_path(model.mean_V3, faces[near], model.landmarks_68[list(marks)])
            edges.append(LidEdge(path, _third_corners(faces[near], path), upper))
    return tuple(edges)


def shortest_path(vertices_V3: np.ndarray, faces_F3: np.ndarray, through: np.ndarray) -> np.ndarray:
    """Vertices of the shortest way along edges from the first of `through` to the last (Dijkstra).

    The edges of lids are rows of short edges of the mesh, so that is what they are.
    """
    neighbors: dict[int, set[int]] = {}
    for face in faces_F3.tolist():
        for a, b in ((0, 1), (1, 2), (2, 0)):
            neighbors.setdefault(face[a], set()).add(face[b])
            neighbors.setdefault(face[b], set()).add(face[a])
    whole = [int(through[0])]
    for start, end in pairwise(through.tolist()):
        whole += _one_way(vertices_V3, neighbors, start, end)[1:]
    return np.array(whole)


def _one_way(
    vertices_V3: np.ndarray, neighbors: dict[int, set[int]], start: int, end: int
) -> list[int]:
    before, best, queue = {start: start}, {start: 0.0}, [(0.0, start)]
    while queue and queue[0][1] != end:
        length, here = heapq.heappop(queue)
        for there in neighbors.get(here, ()):
            total = length + float(np.linalg.norm(vertices_V3[here] - vertices_V3[there]))
            if total < best.get(there, np.inf):
                best[there], before[there] = total, here
                heapq.heappush(queue, (total, there))
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _third_corners(faces_F3: np.ndarray, path_P: np.ndarray) -> np.ndarray:
    """For each piece of a path, the lowest third corner of the triangles that it is an edge of."""
    corners = []
    for a, b in pairwise(path_P.tolist()):
        both = faces_F3[(faces_F3 == a).any(1) & (faces_F3 == b).any(1)]
        corners.append(min(int(c) for c in both.ravel() if c not in (a, b)))
    return np.array(corners)


def edge_roots(edge: LidEdge, vertices_V3: np.ndarray, at_N: np.ndarray) -> Roots:
    """Places at fractions of the way along an edge, by length on the head given."""
    lengths = np.linalg.norm(np.diff(vertices_V3[edge.path_P], axis=0), axis=1)
    reached = np.r_[0, np.cumsum(lengths)] / lengths.sum()
    piece = np.clip(np.searchsorted(reached, at_N, side="right") - 1, 0, len(lengths) - 1)
    within = (at_N - reached[piece]) / (reached[piece + 1] - reached[piece])
    corners = np.stack([edge.path_P[piece], edge.path_P[piece + 1], edge.third_P[piece]], axis=1)
    weights = np.stack([1 - within, within, np.zeros_like(within)], axis=1)
    return Roots(corners, weights.astype(np.float32))


@lru_cache(maxsize=4)
def grow_lashes(model: HeadModel, person: Person) -> tuple[RootedStrands, ...]:
    """Lashes of four lids on a person's head without expression."""
    neutral = model.shaped(person.shape, ())
    return tuple(
        _grow_lid(model, neutral, person, number) for number in range(len(lid_edges(model)))
    )


def _grow_lid(model: HeadModel, neutral: Head, person: Person, number: int) -> RootedStrands:
    edge = lid_edges(model)[number]
    rng = np.random.default_rng([person.seed, STREAM, number])
    num = NUM_UPPER if edge.upper else NUM_LOWER
    # the corner beside the nose has no lashes
    at = (np.arange(num) + 0.3 + 0.4 * rng.random(num)) / num * 0.86 + 0.01
    roots = edge_roots(edge, neutral.vertices_V3, at)
    spread = rng.standard_normal((num, 3))
    outward = np.sign(neutral.vertices_V3[edge.path_P[0], 0]) * (0.62 - 1.15 * at)
    rise, turn = (
        ([-0.05, 0.3, 0.75, 1.15], 0.12) if edge.upper else ([-0.25, -0.5, -0.6, -0.5], 0.2)
    )
    directions = np.empty((num, SEGMENTS, 3))
    directions[..., 0] = (outward + turn * spread[:, 0])[:, None]
    directions[..., 1] = np.array(rise) + 0.12 * spread[:, 1:2]
    directions[..., 2] = 1.0 if edge.upper else 0.8
    full = np.interp(at, [0, 0.25, 0.6, 0.9], [0.85, 1.0, 0.85, 0.5])
    length = person.eyes.lash_length * full * (1.0 if edge.upper else 0.55)
    length = length * (1 + 0.2 * person.eyes.makeup) * np.exp(0.12 * spread[:, 2])
    return rooted(roots, grown(directions, length), neutral)


def lash_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Upper and lower lashes; makeup makes them longer, thicker and black."""
    strands = grow_lashes(model, person)
    points = np.concatenate([lid.on(head) for lid in strands])
    makeup = person.eyes.makeup
    color = tuple((1 - makeup) * 0.6 * part + makeup * 0.004 for part in person.brows.color)
    hair = Material("hair", (color[0], color[1], color[2]), roughness=0.4)
    radius = RADIUS * (1 + 0.7 * makeup)
    return [StrandsPart("lashes", Label.BROWS, points, radius, hair, tip=0.25)]
