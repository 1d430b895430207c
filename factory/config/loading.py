"""From a YAML file and `section.key=value` arguments to one checked object."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar, cast

from factory.config.field import Names
from factory.config.schema import Config
from factory.errors import ConfigError

Schema = TypeVar("Schema")


def load(path: str | Path, dotlist: list[str] | None = None) -> Config:
    """Read a YAML config, apply `section.key=value` arguments, check everything.

    Raises ConfigError with one line that names the dotted key, what it got and what it wants.
    """
    return typed(Config, path, dotlist or [])


def typed(schema: type[Schema], path: str | Path, dotlist: list[str]) -> Schema:
    """A YAML file and arguments as an object of a dataclass; raises ConfigError as `load` does."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such config file; want a YAML file such as configs/demo.yaml"
        )
    for item in dotlist:
        if "=" not in item:
            raise ConfigError(f"argument {item!r}: want section.key=value")
    try:
        asked = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(dotlist))
        _refuse_numbers_as_names(OmegaConf.to_container(asked))
        merged = OmegaConf.merge(OmegaConf.structured(schema), asked)
        return cast(Schema, OmegaConf.to_object(merged))
    except ConfigError:
        raise
    except (OmegaConfBaseException, YAMLError, OSError, TypeError, ValueError) as error:
        key = getattr(error, "full_key", None) or str(path)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "cannot be read"
        raise ConfigError(f"{key}: {reason}; see factory/config/ for keys and types") from None


def absolute(config: Config) -> Config:
    """The same config with every path absolute, for processes that start elsewhere."""

    def walk(section: Any) -> Any:
        changed = {}
        for item in dataclasses.fields(section):
            value = getattr(section, item.name)
            if dataclasses.is_dataclass(value):
                changed[item.name] = walk(value)
            elif isinstance(value, list):
                changed[item.name] = [walk(part) for part in value]
            elif item.metadata.get("path") and isinstance(value, tuple):
                changed[item.name] = tuple(str(Path(part).absolute()) for part in value)
            elif item.metadata.get("path") and value is not None:
                changed[item.name] = _absolute_path(value, item.metadata["or_name"])
        return dataclasses.replace(section, **changed)

    return cast(Config, walk(config))


def _absolute_path(value: str, or_name: Names | None) -> str:
    """A path made absolute; addresses, and names that a field allows instead, as they are."""
    is_address = value.startswith("starter:") or "://" in value
    may_be_name = or_name == "hub_model" or (or_name == "checkpoint" and "/" not in value)
    if is_address or (may_be_name and not Path(value).exists()):
        return value
    return str(Path(value).absolute())


def as_dict(config: Any) -> dict[str, Any]:
    """Plain nested dictionary of a (sub-)config, ready for JSON."""
    return dataclasses.asdict(config)


def _refuse_numbers_as_names(asked: Any) -> None:
    """YAML reads 1.10 as the number 1.1 and 007 as 7: two versions would become one."""
    for section, name in (
        ("release", "dataset"),
        ("release", "version"),
        ("identities", "extends"),
    ):
        values = asked.get(section) if isinstance(asked, dict) else None
        value = values.get(name) if isinstance(values, dict) else None
        if isinstance(value, int | float):
            key = f"{section}.{name}"
            raise ConfigError(f"{key}: got the number {value}; quote it, as in {key}=\"'1.10'\"")
