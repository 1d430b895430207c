"""The batches that a training gives to its loss, for tests of what it draws."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest
import torch


class RecordedBatches:
    """Arguments of a loss's forward by name, one entry a micro-batch."""

    def __init__(self) -> None:
        self._batches: list[dict[str, torch.Tensor | None]] = []

    def add(self, batch: dict[str, torch.Tensor | None]) -> None:
        self._batches.append(batch)

    def all(self, name: str) -> torch.Tensor:
        """An argument of all micro-batches together."""
        return torch.cat([batch[name] for batch in self._batches])

    def given(self, name: str) -> bool:
        """Whether any micro-batch has an argument."""
        return any(batch.get(name) is not None for batch in self._batches)


def record_batches(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, loss: str
) -> RecordedBatches:
    """Record the batches of the class `loss` that a module's training uses."""
    recorded, real = RecordedBatches(), getattr(module, loss)
    names = list(inspect.signature(real.forward).parameters)[1:]

    class Recording(real):
        def forward(self, *batch):
            recorded.add(dict(zip(names, batch, strict=False)))
            return super().forward(*batch)

    monkeypatch.setattr(module, loss, Recording)
    return recorded
