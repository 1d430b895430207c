"""A GPU's rules on a CPU: torch's meta device has no values, so whatever waits for one raises.

On a GPU a host must wait for what needs values (`.item()`, `bool`, shapes that depend on data) and
for copies that are not asked for as non-blocking. On meta tensors the first raise by themselves;
`FakeGpu` raises at the others, and counts the bytes that live there as an allocator would.
"""

from __future__ import annotations

import contextlib
import weakref
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

DEVICE = torch.device("meta")
COPIES = ("aten::_to_copy", "aten::copy_")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class HostSync(AssertionError):
    """Something that makes the host wait for a GPU."""


class FakeGpu(TorchDispatchMode):
    """Watches what is computed on `DEVICE`: HostSync where a host would wait.

    It counts live bytes there, or on another device, as those of the tensors that operations give.
    """

    def __init__(self, counted: torch.device = DEVICE) -> None:
        super().__init__()
        self._counted = counted
        self.live_bytes = self.peak_bytes = 0
        self._known: dict[int, Any] = {}

    def holds(self, *tensors: torch.Tensor) -> None:
        """Count tensors that were made before."""
        for tensor in tensors:
            self._count(tensor)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        if name in COPIES:
            self._check_copy(func, name, args, kwargs)
        if name in INDEXED and any(
            isinstance(i, torch.Tensor) and i.device == DEVICE and i.dtype == torch.bool
            for i in args[1]
        ):
            raise HostSync(f"{name} by a mask looks for its true values")
        out = func(*args, **kwargs)
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return out

    def _check_copy(self, func, name: str, args: tuple, kwargs: dict[str, Any]) -> None:
        if name == "aten::_to_copy":
            source, target = args[0].device, kwargs.get("device") or args[0].device
            non_blocking = kwargs.get("non_blocking", False)
        else:
            source, target = args[1].device, args[0].device
            non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        if source != torch.device(target) and not non_blocking:
            raise HostSync(f"{name} from {source} to {target} is not non_blocking")

    def _count(self, tensor: torch.Tensor) -> None:
        if tensor.device != self._counted:
            return
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        size = storage.nbytes()
        gone = partial(self._gone, storage._cdata, size)
        self._known[storage._cdata] = weakref.ref(storage, lambda _: gone())
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _gone(self, key: int, size: int) -> None:
        del self._known[key]
        self.live_bytes -= size


def use_fake_gpu(monkeypatch) -> None:
    """Let engines and runs of this test compute on `DEVICE`, in float32."""
    from factory.training import engine

    monkeypatch.setattr(engine, "pick_device", lambda compute: DEVICE)
    monkeypatch.setattr(engine, "autocast", lambda *_: contextlib.nullcontext())
