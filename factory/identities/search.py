"""Fast approximate cosines with a proven bound on their error: the first pass of a gallery.

Shapes: M queries, T vectors of a tile, N of those added, D embedding.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

LENGTH = 1.001
"""Longest vector that `gate.check_unit` accepts."""


class Bf16Search:
    """Products in bfloat16 with float32 sums; memory: 2*D bytes a vector.

    About three times as fast as float32 on a CPU with AMX or AVX512-BF16, more on a GPU.

    bfloat16 rounds with u = 2^-8, so the product of two rounded factors errs by at most
    (2u+u^2)*|a_i*b_i| and their sum by (2u+u^2)*|a||b|; D float32 additions add D*2^-24, and
    rounding the answer adds u*|c| (Higham 2002, section 3.1).
    """

    def __init__(self, dim: int, device: torch.device) -> None:
        u, addition = 2.0**-8, 2.0**-24
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
            addition = 2.0**-22  # because tensor cores cut off instead of rounding
        self._rounding = u
        self._products = (2 * u + u * u + 1.01 * dim * addition) * LENGTH**2
        self._device, self._size = device, 0
        self._unit_GD = torch.empty(0, dim, dtype=torch.bfloat16, device=device)

    def band(self, cosine: float) -> float:
        """Bound on the error of an approximate cosine of about this size."""
        return self._products + self._rounding * (abs(cosine) + self._products)

    def add(self, unit_ND: np.ndarray) -> None:
        """Take vectors that join the gallery."""
        self._unit_GD = grown(self._unit_GD, self._size, self._size + len(unit_ND))
        self._unit_GD[self._size : self._size + len(unit_ND)] = torch.from_numpy(unit_ND)
        self._size += len(unit_ND)

    def fresh(self) -> Bf16Search:
        """An empty search of the same kind."""
        return Bf16Search(self._unit_GD.shape[1], self._device)

    def cosines(self, unit_MD: np.ndarray, tile_TD: np.ndarray, first: int) -> torch.Tensor:
        """Cosines [M, T] with the gallery's vectors first..first+T-1, which `tile_TD` holds."""
        query_MD = torch.from_numpy(unit_MD).to(self._device, torch.bfloat16)
        return query_MD @ self._unit_GD[first : first + len(tile_TD)].T


class FaissSearch:
    """FAISS in float32, on a GPU where faiss finds one.

    The float32 error of an inner product of unit vectors is at most D*2^-24, whatever the order of
    summation (Higham 2002, eq 3.5).
    """

    def __init__(self, dim: int) -> None:
        import faiss

        self._faiss = faiss
        self._band = 1.01 * dim * 2.0**-24 * LENGTH**2
        self._gpu = faiss.StandardGpuResources() if faiss.get_num_gpus() else None

    def band(self, cosine: float) -> float:
        return self._band

    def add(self, unit_ND: np.ndarray) -> None:
        pass

    def fresh(self) -> FaissSearch:
        return self

    def cosines(self, unit_MD: np.ndarray, tile_TD: np.ndarray, first: int) -> torch.Tensor:
        metric = self._faiss.METRIC_INNER_PRODUCT
        if self._gpu:
            cosine_MT = self._faiss.pairwise_distance_gpu(
                self._gpu, unit_MD, tile_TD, metric=metric
            )
        else:
            cosine_MT = self._faiss.pairwise_distances(unit_MD, tile_TD, metric)
        return torch.from_numpy(cosine_MT)


Search = Bf16Search | FaissSearch
"""The first pass of a gallery: `cosines` that err by at most `band`."""


def pick_search(kind: Literal["auto", "faiss", "bf16"], dim: int) -> Search:
    """The search a config names; auto is bf16 where the hardware is fast at it."""
    gpu = torch.cuda.is_available()
    capabilities: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # not in torch 2.6
    fast = gpu or capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    if kind == "faiss" or (kind == "auto" and not fast):
        return FaissSearch(dim)
    return Bf16Search(dim, torch.device("cuda" if gpu else "cpu"))


def grown(tensor_GD: torch.Tensor, size: int, wanted: int) -> torch.Tensor:
    """The tensor, or one with the same first `size` rows and room for `wanted` and half more."""
    if wanted <= len(tensor_GD):
        return tensor_GD
    larger = tensor_GD.new_empty(
        max(wanted, wanted * 3 // 2 if size else wanted), tensor_GD.shape[1]
    )
    larger[:size] = tensor_GD[:size]
    return larger
