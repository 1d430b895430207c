"""How many operations a computation launches, counted by the profiler on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

VIEWS = frozenset(
    "alias as_strided chunk detach empty empty_like empty_strided expand expand_as lift_fresh "
    "movedim narrow new_empty numel permute resolve_conj resolve_neg result_type select slice "
    "split split_with_sizes squeeze t transpose unbind unsqueeze view view_as _reshape_alias "
    "_unsafe_view unfold".split()
)
"""Operations of aten that compute nothing."""
COMPOSED = frozenset(
    "contiguous flatten layer_norm linear matmul reshape rms_norm scaled_dot_product_attention to "
    "type_as unflatten _to_copy clone zeros ones full arange zeros_like ones_like".split()
)
"""Operations that are what they call; every other one is one kernel, or a call into a library."""


def launches(run: Callable[[], Any]) -> Counter[str]:
    """Operations of one run, in inference mode, by name; `copy_` are copies, most between types."""
    with torch.inference_mode():
        run()  # what is made once is made here
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            run()
    counts: Counter[str] = Counter()
    for event in profiled.events():
        if event.cpu_parent is None:
            _count(event, counts)
    return counts


def _count(event: Any, counts: Counter[str]) -> None:
    name = event.name.removeprefix("aten::")
    if event.name.startswith("aten::") and name not in COMPOSED:
        counts[name] += name not in VIEWS
        return
    for child in event.cpu_children:
        _count(child, counts)
