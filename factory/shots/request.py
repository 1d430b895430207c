"""What was asked of a release: everything that decides its bytes but the roster."""

from __future__ import annotations

import json
from typing import Any

from factory.config import Config, as_dict
from factory.shots.environment import sources_hash, stack_fingerprint
from factory.shots.plan import canonical


def request(
    config: Config, weights: dict[str, str], source: dict[str, Any], max_cosine: float
) -> dict[str, Any]:
    """All that was asked for: threshold resolved, digests instead of paths, and the stack."""
    compute = {"device": _device_kind(config), "precision": config.compute.precision}
    asked = {
        "source": source,
        "weights": weights,
        "identities": as_dict(config.identities) | {"max_cosine": max_cosine},
        "plan": as_dict(config.plan),
        "sampler": as_dict(config.sampler),
        "filters": as_dict(config.filters),
        "shards": as_dict(config.shards),
        "compute": compute,
        "release": {
            "dataset": config.release.dataset,
            "version": config.release.version,
            "seed": config.release.seed,
            "allow_real": config.release.allow_real,
        },
        "factory": {"sources_sha256": sources_hash()},
        "stack": stack_fingerprint(),
    }
    return dict(json.loads(canonical(asked)))


def _device_kind(config: Config) -> str:
    from factory.training.distributed import pick_device

    return pick_device(config.compute).type
