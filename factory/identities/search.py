"""Fast approximate cosines with a proven bound on their error: the first pass of a gallery.

`pick_search` and `pick_neighbors` choose by what a process has at hand. On a GPU cosines are tiles
of our own, because a gallery needs a proven error and reads them where they are; nearest neighbors,
which only steer packing, are FAISS's, whose selection of the k largest is the best there is.

Shapes: M queries, T vectors of a tile, N of those added, K neighbors, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

LENGTH = 1.001
"""Longest vector that `gate.check_unit` accepts."""
GPU_TILES = 8
"""Factor on a gallery's blocks on a GPU: 8,192 x 32,768 cosines at once take 1.9 GB there."""
NEIGHBORS_BYTES = 4 << 30
"""Memory of a GPU for the vectors, and for the queries, of one search for neighbors."""


@dataclass(frozen=True)
class DeviceFacts:
    """What a process can compare vectors with."""

    torch_gpu: bool
    """Whether torch sees a GPU."""
    fast_bf16: bool
    """Whether the processor multiplies bfloat16 faster than float32 (AMX, AVX512-BF16)."""
    faiss_gpus: int
    """GPUs that the installed FAISS sees; none with the wheel for CPUs."""

    @classmethod
    def here(cls) -> DeviceFacts:
        """The facts of this process."""
        import faiss

        capabilities: dict[str, bool] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # not in torch 2.6
        fast = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
        return cls(torch.cuda.is_available(), bool(fast), faiss.get_num_gpus())


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
        self.tiles = GPU_TILES if device.type == "cuda" else 1
        """Factor on the gallery's blocks: a GPU is fast at large products alone."""
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
    """FAISS in float32 on a CPU that is not fast at bfloat16.

    The float32 error of an inner product of unit vectors is at most D*2^-24, whatever the order of
    summation (Higham 2002, eq 3.5).
    """

    tiles = 1

    def __init__(self, dim: int) -> None:
        import faiss

        self._faiss = faiss
        self._band = 1.01 * dim * 2.0**-24 * LENGTH**2

    def band(self, cosine: float) -> float:
        return self._band

    def add(self, unit_ND: np.ndarray) -> None:
        pass

    def fresh(self) -> FaissSearch:
        return self

    def cosines(self, unit_MD: np.ndarray, tile_TD: np.ndarray, first: int) -> torch.Tensor:
        metric = self._faiss.METRIC_INNER_PRODUCT
        return torch.from_numpy(self._faiss.pairwise_distances(unit_MD, tile_TD, metric))


Search = Bf16Search | FaissSearch
"""The first pass of a gallery: `cosines` that err by at most `band`."""


def pick_search(dim: int, facts: DeviceFacts | None = None) -> Search:
    """bfloat16 on a GPU, else on a processor that is fast at it, else FAISS."""
    facts = facts or DeviceFacts.here()
    if facts.torch_gpu or facts.fast_bf16:
        return Bf16Search(dim, torch.device("cuda" if facts.torch_gpu else "cpu"))
    return FaissSearch(dim)


Neighbors = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(queries [M, D], vectors [N, D], K) -> rows of the K largest inner products, int64 [M, K].

Both are float32 and contiguous; the largest comes first.
"""


def pick_neighbors(facts: DeviceFacts | None = None) -> Neighbors:
    """FAISS's search for neighbors, on a GPU where the installed FAISS sees one."""
    facts = facts or DeviceFacts.here()
    return gpu_neighbors if facts.faiss_gpus else cpu_neighbors


def cpu_neighbors(query_MD: np.ndarray, unit_ND: np.ndarray, count: int) -> np.ndarray:
    """Neighbors by `faiss.knn`."""
    import faiss

    _, near_MK = faiss.knn(query_MD, unit_ND, count, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(near_MK)


def gpu_neighbors(query_MD: np.ndarray, unit_ND: np.ndarray, count: int) -> np.ndarray:
    """Neighbors by `faiss.knn_gpu`, in parts that fit into NEIGHBORS_BYTES each."""
    import faiss

    _, near_MK = faiss.knn_gpu(
        faiss.StandardGpuResources(),
        query_MD,
        unit_ND,
        count,
        metric=faiss.METRIC_INNER_PRODUCT,
        vectorsMemoryLimit=NEIGHBORS_BYTES,
        queriesMemoryLimit=NEIGHBORS_BYTES,
    )
    return np.asarray(near_MK)


def grown(tensor_GD: torch.Tensor, size: int, wanted: int) -> torch.Tensor:
    """The tensor, or one with the same first `size` rows and room for `wanted` and half more."""
    if wanted <= len(tensor_GD):
        return tensor_GD
    larger = tensor_GD.new_empty(
        max(wanted, wanted * 3 // 2 if size else wanted), tensor_GD.shape[1]
    )
    larger[:size] = tensor_GD[:size]
    return larger
