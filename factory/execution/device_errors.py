"""Tells a failing device from a failing shot."""

from __future__ import annotations

import torch


def is_of_the_device(error: Exception) -> bool:
    """Whether an exception tells of the device or its memory, not of the shot that met it."""
    named = isinstance(error, torch.OutOfMemoryError) or "AcceleratorError" in type(error).__name__
    signs = ("CUDA error", "CUDA out of memory", "can't allocate memory", "cuDNN error")
    return named or any(words in str(error) for words in signs)
