"""Where a text-to-image model comes from: trained here, or by somebody else under a license."""

from __future__ import annotations

import json
from typing import Any

from factory.config import BaseModelConfig, CheckpointConfig
from factory.provenance.lineage import NetworkRecord
from factory.provenance.networks import of_somebody_else, records_of, require_weights_license
from factory.text_to_image.base_model import digest, locate

METADATA = "miniature.json"
"""File in the folder of a pipeline that was trained by jobs.train_base, with its metrics."""


def base_records(base_model: BaseModelConfig, stated: CheckpointConfig) -> list[NetworkRecord]:
    """The records of a base and its ancestors; of one that was not trained here, what is stated."""
    metadata, sha256 = _metadata(base_model), digest(base_model)
    if metadata is None:
        return [of_somebody_else("base", sha256, stated)]
    own = {"kind": "base", "sha256": sha256, "lineage": {"autoencoder": metadata["autoencoder"]}}
    return records_of(metadata | own)


def require_base_license(base_model: BaseModelConfig, stated: CheckpointConfig) -> None:
    """Raise ConfigError where a base of somebody else comes without its license."""
    if _metadata(base_model) is None:
        require_weights_license(stated, f"base_model.path={base_model.path}")


def _metadata(base_model: BaseModelConfig) -> dict[str, Any] | None:
    file = locate(base_model) / METADATA
    return dict(json.loads(file.read_text())) if file.is_file() else None
