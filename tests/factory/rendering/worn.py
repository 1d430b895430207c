"""Heads to try things on, and which points of a picture triangles hide."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.head.head import Head, head_model
from factory.rendering.people.people import draw_person
from factory.rendering.traits import Person

MODEL = head_model()
PEOPLE = (0, 1, 2)
SMILE = (("jawOpen", 0.4),)


@cache
def somebody(number: int) -> Person:
    """A person with a shape of this file's own, whoever else the people are."""
    shape = np.random.default_rng([number, 17]).standard_normal(100)
    return replace(draw_person(RenderingConfig(), number), shape=tuple(shape.tolist()))


@cache
def head_of(number: int, expression: tuple[tuple[str, float], ...] = ()) -> Head:
    return MODEL.shaped(somebody(number).shape, expression)


def heights_above(
    points_P3: np.ndarray, vertices_V3: np.ndarray, faces_F3: np.ndarray
) -> np.ndarray:
    """z of the foremost triangle over each point's (x, y), by brute force; -inf: none."""
    a, b, c = np.moveaxis(vertices_V3[faces_F3].astype(np.float32), 1, 0)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    flat = np.abs(area) < 1e-12
    area = np.where(flat, 1.0, area)
    heights = []
    for x, y, _ in points_P3:
        second = ((x - a[:, 0]) * (c - a)[:, 1] - (y - a[:, 1]) * (c - a)[:, 0]) / area
        third = ((b - a)[:, 0] * (y - a[:, 1]) - (b - a)[:, 1] * (x - a[:, 0])) / area
        hit = (second >= 0) & (third >= 0) & (second + third <= 1) & ~flat
        z = a[:, 2] + second * (b - a)[:, 2] + third * (c - a)[:, 2]
        heights.append(z[hit].max(initial=-np.inf))
    return np.array(heights)


def hidden(points_P3: np.ndarray, vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Whether triangles hide points from somebody who looks along -z."""
    return heights_above(points_P3, vertices_V3, faces_F3) > points_P3[:, 2]


def facing(direction_3: np.ndarray) -> np.ndarray:
    """A turn [3, 3] after which a direction looks along +z."""
    z = direction_3 / np.linalg.norm(direction_3)
    x = np.cross([0.3, 1.0, 0.2], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def edge_uses(faces_F3: np.ndarray) -> np.ndarray:
    """In how many triangles each edge lies."""
    edges = np.sort(np.concatenate([faces_F3[:, [i, (i + 1) % 3]] for i in range(3)]), 1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def volume(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> float:
    """What a closed mesh encloses; negative where it faces inward."""
    a, b, c = np.moveaxis(vertices_V3[faces_F3], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
