"""Turns of an identity that are learned: where images of one person lie, seen from one of them.

A turn of a unit vector v by the angle th is v~ = cos(th)*v + sin(th)*u, u a unit vector orthogonal
to v (IDperturb). At random u is the direction of P*z, z ~ N(0, I) and P = 1 - v*v^T. Learned, it is
the direction of an affine flow of that draw, conditioned on v:

    x = P*(z + M*z + B*v),   x ~ N(P*B*v, P*S*P) on the tangent space at v, with S = (1 + M)^2.

M = B = 0 is the random turn. The flow is fitted to pairs (a, b) of embeddings of one person, whose
tangents at a are x_ab = sqrt(D-1) * P_a*b / |P_a*b|, as long as a draw is on average: B by ridge
regression of x_ab on a, S by the second moment of what is left, shrunk toward 1 (Ledoit & Wolf
2004), both in closed form. The idea of a flow over directions is FaceFlow's; nothing here is its.

Shapes: D embedding, P people, K turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from factory.checkpoint import Checkpoint

KIND = "turns"
"""Of its checkpoints."""
MAX_MATES = 32
"""Images of one person that pairs are made of, evenly spaced: pairs grow with their square."""


@dataclass(frozen=True)
class TangentFlow:
    """Which directions are likely at an identity: M and B of the module's equation, float32."""

    scale_DD: torch.Tensor
    """M: the symmetric square root of S, minus 1."""
    shift_DD: torch.Tensor
    """B: from an identity to the mean of the directions there."""

    @classmethod
    def still(cls, dim: int) -> TangentFlow:
        """The flow that moves nothing, which a random turn is."""
        return cls(torch.zeros(dim, dim), torch.zeros(dim, dim))

    @classmethod
    def of(cls, loaded: Checkpoint) -> TangentFlow:
        """That of a checkpoint which `train_turns` wrote."""
        return cls(loaded.tensors["scale"], loaded.tensors["shift"])

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The same by the names that they have in a checkpoint."""
        return {"scale": self.scale_DD, "shift": self.shift_DD}

    def move(self, unit_D: torch.Tensor, normal_D: torch.Tensor) -> torch.Tensor:
        """P*(M*z + B*v) [D], orthogonal to v: what a learned draw is beyond a random one."""
        move_D = self.scale_DD @ normal_D + self.shift_DD @ unit_D
        return move_D - (move_D @ unit_D) * unit_D


def turned(
    unit_D: np.ndarray, cos: float, stream: np.random.Generator, flow: TangentFlow | None = None
) -> np.ndarray:
    """v~ = cos(th)*v + sin(th)*u, with u a random unit vector orthogonal to v (IDperturb).

    With a `flow` u is one that is likely among images of one person.
    """
    if cos == 1.0:
        return unit_D
    unit = torch.from_numpy(np.array(unit_D))
    normal_D = torch.from_numpy(stream.standard_normal(len(unit), dtype=np.float32))
    across_D = normal_D - (normal_D @ unit) * unit
    if flow is not None:
        across_D = across_D + flow.move(unit, normal_D)
    turned_D: torch.Tensor = cos * unit + math.sqrt(1 - cos**2) * across_D / across_D.norm()
    return turned_D.numpy()


def fit(unit_ND: np.ndarray, label_N: np.ndarray, ridge: float, shrinkage: float) -> TangentFlow:
    """The flow of all ordered pairs of embeddings with one label; each person counts the same.

    `ridge` is in units of the mean square of a value of an embedding, 1/D. With `shrinkage` 1 and
    an infinite ridge it is still. Raises ValueError where nobody has two images.
    """
    dim = unit_ND.shape[1]
    square_DD, product_DD = np.zeros((2, dim, dim))
    num_people = 0
    for unit_QD, tangent_QD in _pairs(unit_ND, label_N):
        square_DD += unit_QD.T @ unit_QD / len(unit_QD)
        product_DD += tangent_QD.T @ unit_QD / len(unit_QD)
        num_people += 1
    if not num_people:
        raise ValueError("no person has two images, so there is nothing to learn turns from")
    if np.isfinite(ridge):
        damped_DD = square_DD / num_people + ridge / dim * np.eye(dim)
        shift_DD = np.linalg.solve(damped_DD, product_DD.T / num_people).T
    else:
        shift_DD = np.zeros((dim, dim))
    moment_DD = np.zeros((dim, dim))
    for unit_QD, tangent_QD in _pairs(unit_ND, label_N):
        rest_QD = tangent_QD - _project(unit_QD @ shift_DD.T, unit_QD)
        moment_DD += rest_QD.T @ rest_QD / len(rest_QD) / num_people
    moment_DD *= dim / (dim - 1)  # because the mean of P over all directions is 1 - 1/D
    root_DD = _root((1 - shrinkage) * moment_DD + shrinkage * np.eye(dim))
    scale, shift = (
        torch.from_numpy(m.astype(np.float32)) for m in (root_DD - np.eye(dim), shift_DD)
    )
    return TangentFlow(scale, shift)


def negative_log_likelihood(
    flow: TangentFlow, unit_QD: np.ndarray, tangent_QD: np.ndarray
) -> np.ndarray:
    """-log p(x | v) [Q] on the tangent spaces, without the constant (D-1)/2 * log(2*pi).

    By the block inverse of S in coordinates whose first is v: with r = x - P*B*v and R = S^-1,
    log det(P*S*P) = log det(S) + log(v'Rv), and the quadratic form is r'Rr - (r'Rv)^2 / v'Rv.
    """
    root_DD = flow.scale_DD.double().numpy() + np.eye(len(flow.scale_DD))
    inverse_DD, log_det = np.linalg.inv(root_DD @ root_DD), 2 * np.linalg.slogdet(root_DD)[1]
    rest_QD = tangent_QD - _project(unit_QD @ flow.shift_DD.double().numpy().T, unit_QD)
    of_unit_Q = ((unit_QD @ inverse_DD) * unit_QD).sum(1)
    of_rest_Q = ((rest_QD @ inverse_DD) * rest_QD).sum(1)
    of_both_Q = ((rest_QD @ inverse_DD) * unit_QD).sum(1)
    return np.asarray((of_rest_Q - of_both_Q**2 / of_unit_Q + log_det + np.log(of_unit_Q)) / 2)


def tangents(unit_QD: np.ndarray, mate_QD: np.ndarray) -> np.ndarray:
    """Directions at `unit_QD` toward their mates [Q, D], of length sqrt(D-1)."""
    across_QD = _project(mate_QD, unit_QD)
    length_Q1 = np.linalg.norm(across_QD, axis=1, keepdims=True)
    return np.asarray(np.sqrt(unit_QD.shape[1] - 1) * across_QD / length_Q1)


def mates_of(label_N: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of each person with two images or more, at most MAX_MATES, evenly spaced."""
    order_N = np.argsort(label_N, kind="stable")
    _, starts = np.unique(label_N[order_N], return_index=True)
    for rows in np.split(order_N, starts[1:]):
        if len(rows) > 1:
            yield rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_MATES)).astype(int)]


def _pairs(unit_ND: np.ndarray, label_N: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each person all ordered pairs: (embeddings [Q, D], tangents to their mates [Q, D])."""
    for rows in mates_of(label_N):
        own_QD = unit_ND[rows].astype(np.float64)
        first, second = np.nonzero(~np.eye(len(rows), dtype=bool))
        yield own_QD[first], tangents(own_QD[first], own_QD[second])


def _project(x_QD: np.ndarray, unit_QD: np.ndarray) -> np.ndarray:
    """The part of each row that is orthogonal to its unit vector."""
    return np.asarray(x_QD - (x_QD * unit_QD).sum(1, keepdims=True) * unit_QD)


def _root(moment_DD: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive matrix."""
    value_D, axis_DD = np.linalg.eigh(moment_DD)
    return np.asarray((axis_DD * np.sqrt(value_D.clip(0))) @ axis_DD.T)
