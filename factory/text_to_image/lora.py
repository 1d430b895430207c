"""Low-rank adapters (LoRA) of a U-Net, exchanged in place (Hu et al. 2022; peft).

The base is loaded once; a person's matrices are a few tensors that are copied over those of the
person before. Files are those of diffusers: `pipeline.load_lora_weights(file)` takes them anywhere.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import nn

from factory.config import PersonalizationConfig
from factory.errors import CheckpointError

PREFIX = "unet."
METADATA = "lora_adapter_metadata"
"""Where diffusers looks for rank and alpha in a safetensors header."""
BASE = "base_sha256"
"""The key in that metadata of the sha256 of the base that a LoRA belongs to."""


class Lora:
    """The LoRA matrices in a U-Net, in float32; its own weights stay frozen."""

    def __init__(
        self, unet: nn.Module, personalization: PersonalizationConfig, base_sha256: str
    ) -> None:
        from peft import LoraConfig

        self._base_sha256, self._config = base_sha256, personalization
        unet.requires_grad_(False)
        layers = [name for name, _ in unet.named_modules()]
        for module in personalization.modules or ("",):
            if not module or not any(f".{name}".endswith(f".{module}") for name in layers):
                raise CheckpointError(
                    f"personalization.modules: the U-Net has no layer called {module!r}"
                )
        adapter = LoraConfig(
            r=personalization.rank,
            lora_alpha=personalization.alpha,
            target_modules=sorted(personalization.modules),
            init_lora_weights="gaussian",
        )
        unet.add_adapter(adapter)  # type: ignore[operator]
        self._named = {
            _file_name(name): parameter
            for name, parameter in unet.named_parameters()
            if parameter.requires_grad
        }
        for parameter in self._named.values():
            parameter.data = parameter.data.float()

    def parameters(self) -> list[nn.Parameter]:
        return list(self._named.values())

    @torch.no_grad()
    def reset(self, draw: torch.Generator) -> None:
        """Initialize again: A ~ N(0, 1/rank^2), B = 0, which leaves the base as it is."""
        for name, parameter in self._named.items():
            if "lora_A" in name:
                new = torch.randn(parameter.shape, generator=draw) / self._config.rank
                parameter.copy_(new)
            else:
                parameter.zero_()

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Replace the matrices by those of `tensors`."""
        for name, parameter in self._named.items():
            parameter.copy_(tensors[name])

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().cpu().clone() for name, p in self._named.items()}

    def to_bytes(self) -> bytes:
        """A .safetensors file as diffusers reads and writes them; equal matrices, equal bytes.

        It has one entry of metadata, because safetensors shuffles several.
        """
        from safetensors.torch import save

        adapter = {
            f"{PREFIX}r": self._config.rank,
            f"{PREFIX}lora_alpha": self._config.alpha,
            f"{PREFIX}target_modules": sorted(self._config.modules),
            BASE: self._base_sha256,
        }
        return save(
            self.tensors(),
            metadata={METADATA: json.dumps(adapter, sort_keys=True, allow_nan=False)},
        )

    def from_bytes(self, data: bytes, name: str) -> dict[str, torch.Tensor]:
        """The matrices of a file; raises CheckpointError unless they fit this U-Net and base."""
        from safetensors.torch import load

        try:
            metadata, tensors = json.loads(_header(data).get(METADATA, "{}")), load(data)
        except Exception:  # because safetensors raises its own class for each kind of damage
            raise CheckpointError(f"{name}: is not a .safetensors file; restore it") from None
        base = metadata.get(BASE)
        if base not in (None, self._base_sha256):
            raise CheckpointError(
                f"{name}: is a LoRA of the base {base[:12]}, base_model.path is "
                f"{self._base_sha256[:12]}; use that base"
            )
        wrong = [
            key
            for key, parameter in self._named.items()
            if key not in tensors or tensors[key].shape != parameter.shape
        ]
        if wrong:
            raise CheckpointError(
                f"{name}: has no {wrong[0]} of shape {tuple(self._named[wrong[0]].shape)}; want "
                "the base, personalization.rank and personalization.modules of its training"
            )
        return tensors


def _file_name(parameter: str) -> str:
    """down_blocks.0.to_q.lora_A.default.weight -> unet.down_blocks.0.to_q.lora_A.weight."""
    return PREFIX + parameter.replace(".default.", ".")


def _header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + size]).get("__metadata__", {}))
