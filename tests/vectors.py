"""Random unit vectors, and the searches that compare them."""

from __future__ import annotations

import numpy as np
import torch

from factory.identities.search import Bf16Search, FaissSearch

SEARCHES = {"bf16": lambda dim: Bf16Search(dim, torch.device("cpu")), "faiss": FaissSearch}


def unit_rows(seed: int, count: int, dim: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def exact_cosine(a_D: np.ndarray, b_D: np.ndarray) -> float:
    """Inner product in float64."""
    return float((a_D.astype(np.float64) * b_D.astype(np.float64)).sum())
