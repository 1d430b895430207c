"""What a config must satisfy beyond its types: ranges, names, and rules across sections.

Every violation is a ConfigError of one line: dotted key, what it got, what it wants.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.knobs import Config, ReleaseConfig


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that does not hold."""
    _check_ranges(config, "")
    _check_names(config.release)
    if config.source.kind != "starter" and not config.source.path:
        raise ConfigError(
            f"source.path: nothing given for source.kind={config.source.kind}; "
            "want a folder, tar or release; set source.path=..."
        )
    if config.source.kind == "starter" and config.source.path:
        raise ConfigError(
            f"source.path: got {config.source.path!r} with source.kind=starter, which takes "
            "none; set source.kind=folder or source.kind=webdataset"
        )
    if config.plan.fill_to and not config.release.allow_real:
        raise ConfigError(
            f"plan.fill_to: got {config.plan.fill_to} while release.allow_real is false; "
            "images of real people need release.allow_real=true"
        )
    if config.identities.num_virtual == 0 and not config.plan.fill_to:
        raise ConfigError(
            "identities.num_virtual: got 0 and plan.fill_to is 0, so nobody would exist; "
            "want at least one of them positive"
        )
    if config.source.kind == "starter" and config.source.heldout:
        raise ConfigError(
            f"source.heldout: got {config.source.heldout!r} with source.kind=starter; use "
            "source.holdout_identities, or another source.kind"
        )
    if config.source.holdout_identities == 1:
        raise ConfigError(
            "source.holdout_identities: got 1; want 0 or at least 2, for impostor pairs"
        )
    widths = config.autoencoder.widths
    if not widths or any(width <= 0 or width % 16 for width in widths):
        raise ConfigError(
            f"autoencoder.widths: got {list(widths)}; want one or more multiples of 16"
        )
    if config.judge.checkpoint == config.recognizer.checkpoint:
        raise ConfigError(
            f"judge.checkpoint: got {config.judge.checkpoint!r}, the recognizer that conditions; "
            "want other weights, or judge.checkpoint=null"
        )
    if config.generator.depth % 2 == 0:
        raise ConfigError(
            f"generator.depth: got {config.generator.depth}; want an odd number of blocks"
        )
    if config.generator.width % config.generator.num_heads:
        raise ConfigError(
            f"generator.num_heads: got {config.generator.num_heads}; want a divisor of "
            f"generator.width={config.generator.width}"
        )


def _check_ranges(section: Any, prefix: str) -> None:
    for item in dataclasses.fields(section):
        value, name = getattr(section, item.name), prefix + item.name
        if dataclasses.is_dataclass(value):
            _check_ranges(value, name + ".")
        elif "low" in item.metadata and value is not None:
            low, high = item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:  # also refuses NaN
                span = f"{low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
                raise ConfigError(f"{name}: got {value}; want {span}")


def _check_names(release: ReleaseConfig) -> None:
    for name, value, extra in (
        ("dataset", release.dataset, "-_"),
        ("version", release.version, "-_."),
    ):
        plain = value.replace(".", "") if "." in extra else value
        if not plain or any(not (c.isascii() and (c.isalnum() or c in "-_")) for c in plain):
            raise ConfigError(
                f"release.{name}: got {value!r}; want ASCII letters, digits and {' '.join(extra)}"
            )
