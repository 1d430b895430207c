"""Groups of rendered people: their names, and what shares of them a config may ask for."""

from __future__ import annotations

import math

from factory.errors import ConfigError

TONES = ("tone1", "tone2", "tone3", "tone4", "tone5", "tone6")
"""Bands of skin pigment from light to dark, after Fitzpatrick's six types."""
PRESENTATIONS = ("feminine", "masculine")
GROUPS = tuple(f"{tone}_{presentation}" for tone in TONES for presentation in PRESENTATIONS)
"""Names that rendering.groups may have."""
SUM_TOLERANCE = 1e-3
"""Of shares that are written with three digits."""


def check_groups(groups: dict[str, float]) -> None:
    """Raise ConfigError for groups that nobody belongs to, and for shares that are no shares."""
    for name, share in groups.items():
        if name not in GROUPS:
            raise ConfigError(
                f"rendering.groups: got {name!r}; want tone1 (light) to tone6 (dark) with "
                "_feminine or _masculine, as in tone3_feminine"
            )
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ConfigError(f"rendering.groups.{name}: got {share:g}; want a share in [0, 1]")
    total = sum(groups.values())
    if groups and abs(total - 1) > SUM_TOLERANCE:
        raise ConfigError(f"rendering.groups: shares sum to {total:g}; want 1")
