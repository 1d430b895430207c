"""Who of many fixed people is nearest to a face, exactly: the cosine in float64, and the row.

A first pass in bfloat16 (float32 where a CPU is slow at it) over blocks of the people errs by at
most a proven band (identities/search.py), so the nearest one is among those within two bands of the
best; their cosines are computed again by `exact_cosines`. An answer therefore depends on no block
size, no batch and no device.

Shapes: B faces, N people, T of them in a block, L lanes, P pairs, D embedding.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from factory.errors import StoreError
from factory.identities.gallery import exact_cosines
from factory.identities.search import LENGTH, Bf16Search, DeviceFacts, pick_search
from factory.store.shared_rows import SHARED_FROM_BYTES, shared_rows

LANES = 64
"""Rows whose cosines are compared side by side."""
BLOCK_ROWS = {"cpu": 1 << 14, "cuda": 1 << 17}
"""Rows of a block at most: 16 MB of them stay in a processor's cache."""
BLOCK_COSINES = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Cosines of a block at most, which bounds its memory."""


class FixedPeople:
    """Unit vectors [N, D] of people who do not change, in float32, in memory or mapped.

    On a CPU processes of a machine share one bfloat16 copy, kept in its cache as `shared_as`; a GPU
    has a copy of its own.
    """

    def __init__(
        self,
        unit_ND: np.ndarray,
        device: torch.device | None = None,
        shared_as: str | None = None,
        block_rows: int | None = None,
    ) -> None:
        self._unit_ND, self._device = unit_ND, device or torch.device("cpu")
        self._block_rows = block_rows
        facts = replace(DeviceFacts.here(), torch_gpu=self._device.type == "cuda")
        search = pick_search(unit_ND.shape[1], facts)
        self._band = search.band(LENGTH**2)
        """Bound on the error of a cosine of the first pass."""
        self._dtype = torch.bfloat16 if isinstance(search, Bf16Search) else torch.float32
        self._rows_ND = self._first_pass_rows(shared_as)

    def __len__(self) -> int:
        return len(self._unit_ND)

    def vector(self, row: int) -> torch.Tensor:
        """Unit vector [D] of a row, on the CPU."""
        return torch.from_numpy(np.array(self._unit_ND[row], np.float32))

    def cosines(self, unit_BD: np.ndarray, row_B: np.ndarray) -> np.ndarray:
        """Cosine of each face to the person of its row, float64 [B]."""
        return exact_cosines(unit_BD, np.arange(len(unit_BD)), self._unit_ND, row_B)

    @torch.inference_mode()
    def nearest(self, unit_BD: np.ndarray, without_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest cosine of each face, float64 [B], and the first row with it, int64 [B].

        Row `without_B` of a face does not count (-1: all count). -1.0 and -1 where nobody is left.
        """
        row_P, column_P = self._candidates(unit_BD, without_B)
        exact_P = exact_cosines(unit_BD, row_P, self._unit_ND, column_P)
        order_P = np.lexsort((column_P, -exact_P, row_P))
        row_R, first_R = np.unique(row_P[order_P], return_index=True)
        best_B, index_B = np.full(len(unit_BD), -1.0), np.full(len(unit_BD), -1, np.int64)
        best_B[row_R], index_B[row_R] = exact_P[order_P][first_R], column_P[order_P][first_R]
        return best_B, index_B

    def _candidates(
        self, unit_BD: np.ndarray, without_B: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (face, person) of which those of the largest cosines are some."""
        query_DB = torch.from_numpy(unit_BD).to(self._device, self._dtype).T
        best_B = torch.full((len(unit_BD),), -torch.inf, device=self._device)
        cosines, faces, people = [], [], []
        step = self._block_step(len(unit_BD))
        for start in range(0, len(self), step):
            cosine_TB = self._rows_ND[start : start + step] @ query_DB
            own = np.flatnonzero((without_B >= start) & (without_B < start + len(cosine_TB)))
            if len(own):
                cosine_TB[without_B[own] - start, own] = -torch.inf
            whole = len(cosine_TB) // LANES * LANES
            for part_TB, first in ((cosine_TB[:whole], start), (cosine_TB[whole:], start + whole)):
                if len(part_TB):
                    best_B, near = _near(part_TB, best_B, 2 * self._band)
                    cosines.append(near[0])
                    faces.append(near[1])
                    people.append(near[2] + first)
        if not faces:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        cosine_P, face_P, person_P = torch.cat(cosines), torch.cat(faces), torch.cat(people)
        near_P = cosine_P >= best_B[face_P] - 2 * self._band  # the best of all blocks
        at_P, row_P = face_P[near_P].cpu().numpy(), person_P[near_P].cpu().numpy()
        left_P = row_P != without_B[at_P]
        return at_P[left_P], row_P[left_P]

    def _block_step(self, faces: int) -> int:
        if self._block_rows:
            return self._block_rows
        rows, cosines = BLOCK_ROWS[self._device.type], BLOCK_COSINES[self._device.type]
        return max(LANES, min(rows, cosines // max(1, faces)) // LANES * LANES)

    def _first_pass_rows(self, shared_as: str | None) -> torch.Tensor:
        """The matrix that the first pass multiplies with."""
        with warnings.catch_warnings():  # because a mapped roster cannot be written, and is not
            warnings.simplefilter("ignore", UserWarning)
            unit_ND = torch.from_numpy(np.asarray(self._unit_ND))
        if self._device.type != "cpu" or self._dtype is torch.float32:
            return unit_ND.to(self._device, self._dtype)
        if shared_as and unit_ND.nbytes >= SHARED_FROM_BYTES:
            with suppress(StoreError):  # a copy of its own does as well
                shape = (unit_ND.shape[0], unit_ND.shape[1])
                return shared_rows(f"{shared_as}.bf16", lambda a, b: unit_ND[a:b].bfloat16(), shape)
        return unit_ND.bfloat16()


def _near(
    cosine_TB: torch.Tensor, best_B: torch.Tensor, width: float
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The best so far, and (cosine, face, row) of those of a block who are within `width` of it."""
    rows, faces = cosine_TB.shape
    lanes = LANES if rows % LANES == 0 else 1
    lane_KL = cosine_TB.reshape(rows // lanes, lanes * faces)  # lane l*B + b: rows l, l + L...
    top_L = lane_KL.amax(0).float()
    best_B = torch.maximum(best_B, top_L.view(lanes, faces).amax(0))
    least_L = (best_B - width).repeat(lanes)
    open_L = (top_L >= least_L).nonzero()[:, 0]
    open_KL = lane_KL[:, open_L].float()
    at_P, lane_P = (open_KL >= least_L[open_L]).nonzero().T
    lane = open_L[lane_P]
    row_P = at_P * lanes + lane // faces
    return best_B, (open_KL[at_P, lane_P], lane % faces, row_P)
