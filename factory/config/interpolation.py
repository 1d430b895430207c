"""Values that name others: `${section.key}`, or `${oc.env:NAME}` of the environment.

By OmegaConf, whose syntax this is. Credentials have no place in a config, so variables that are
called like one are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from factory.config.reading import Scalar, Tree
from factory.errors import ConfigError

SIGN = "${"
CREDENTIALS = re.compile(
    r"oc\.env:[^}]*(SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY)", re.IGNORECASE
)


def resolved(tree: Tree) -> Tree:
    """The tree with every interpolation filled in; raises ConfigError in one line."""
    if not _has_any(tree):
        return tree
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        values = OmegaConf.create(_plain(tree))
    except OmegaConfBaseException as error:  # because it reads all texts, and says which it cannot
        key = str(getattr(error, "full_key", None) or "config")
        raise _wrong(key, SIGN, error) from None
    return _filled(tree, values, "")


def _filled(tree: Tree, values: Any, key: str) -> Tree:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(tree, dict):
        inner = {name: f"{key}.{name}" if key else name for name in tree}
        return {name: _filled(part, values, inner[name]) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_filled(part, values, f"{key}[{index}]") for index, part in enumerate(tree)]
    if SIGN not in tree.text:
        return tree
    if CREDENTIALS.search(tree.text):
        raise ConfigError(
            f"{key}: got {tree.text!r}; want no credentials in a config, they come from the "
            "environment by themselves"
        )
    try:
        value = OmegaConf.select(values, key, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise _wrong(key, tree.text, error) from None
    if not isinstance(value, str):
        raise ConfigError(f"{key}: got {tree.text!r}, which names no single value; want one")
    return replace(tree, text=value)


def _wrong(key: str, text: str, error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0].rstrip(".")
    return ConfigError(
        f"{key}: got {text!r} ({reason}); want ${{section.key}} of a key that this config gives, "
        "or ${oc.env:NAME} of a variable that is set"
    )


def _plain(tree: Tree) -> Any:
    if isinstance(tree, dict):
        return {name: _plain(part) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_plain(part) for part in tree]
    return tree.text


def _has_any(tree: Tree) -> bool:
    if isinstance(tree, Scalar):
        return SIGN in tree.text
    return any(_has_any(part) for part in (tree.values() if isinstance(tree, dict) else tree))
