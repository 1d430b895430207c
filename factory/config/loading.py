"""From a YAML file and `section.key=value` arguments to one checked object."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from factory.config.arguments import apply_arguments
from factory.config.convert import to_object
from factory.config.field import STARTER, Names
from factory.config.interpolation import resolved
from factory.config.reading import Scalar, Tree, read_file
from factory.config.release import StoreConfig
from factory.config.rules import check_ranges
from factory.config.schema import Config
from factory.config.source_rules import WITHOUT_PATH
from factory.errors import ConfigError

Schema = TypeVar("Schema")


def load(path: str | Path | None, dotlist: Sequence[str] | None = None) -> Config:
    """Read a YAML config, apply `section.key=value` arguments, check everything.

    Without a path it is all defaults but for the arguments. Raises ConfigError with one line that
    names the dotted key, what it got and what it wants.
    """
    return typed(Config, path, dotlist or [])


def typed(schema: type[Schema], path: str | Path | None, dotlist: Sequence[str]) -> Schema:
    """A YAML file and arguments as an object of a dataclass; raises ConfigError as `load` does."""
    return from_tree(schema, {} if path is None else read_file(Path(path)), dotlist)


def from_tree(schema: type[Schema], tree: dict[str, Tree], dotlist: Sequence[str]) -> Schema:
    """What a YAML file holds, and arguments, as an object of a dataclass; raises ConfigError."""
    changed = apply_arguments(schema, tree, list(dotlist))
    _leave_out_what_a_source_without_path_lacks(changed)
    missing = list(required_keys(changed))
    if missing:
        raise ConfigError(required_line(missing))
    settings = to_object(schema, resolved(changed))
    check_ranges(settings)
    return cast(Schema, settings)


def required_line(missing: Sequence[tuple[str, str]]) -> str:
    """One line that asks for the keys that a file leaves to the person, with their comments."""
    first, *others = [f": {comment}" if comment else "" for _, comment in missing]
    needs = [f"{missing[0][0]}: this recipe needs it{first}"]
    needs += [f"and {key}{text}" for (key, _), text in zip(missing[1:], others, strict=True)]
    wanted = " ".join(f"{key}=..." for key, _ in missing)
    return f"{'; '.join(needs)}; give {wanted}"


def store_settings(url: str, settings: Sequence[str]) -> StoreConfig:
    """The section store at an address, with settings as `store.key=value` (or `key=value`).

    Raises ConfigError in one line, also for a key of another section.
    """
    words = [word if word.startswith("store.") else f"store.{word}" for word in settings]
    tree = apply_arguments(Config, {}, [*words, f"store.url={url}"])
    store: StoreConfig = to_object(Config, tree).store
    check_ranges(store, "store.")
    return store


def required_keys(tree: Tree, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, what to give) of each value that the file leaves to the person: `???`."""
    if isinstance(tree, Scalar):
        if tree.is_required:
            yield key, tree.comment
    elif isinstance(tree, list):
        for index, part in enumerate(tree):
            yield from required_keys(part, f"{key}[{index}]")
    else:
        for name, part in tree.items():
            yield from required_keys(part, f"{key}.{name}" if key else name)


def _leave_out_what_a_source_without_path_lacks(tree: Any) -> None:
    """Take from a tree the `???` that ask where faces lie and under which license.

    A recipe written for a folder is then also one for people of the package or rendered ones.
    """
    source = tree.get("source")
    kind = source.get("kind") if isinstance(source, dict) else None
    if isinstance(kind, Scalar) and kind.text in WITHOUT_PATH:
        for key in ("path", "license"):
            if isinstance(source.get(key), Scalar) and source[key].is_required:
                del source[key]


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
            elif item.metadata.get("path") and value is not None:
                or_name = item.metadata["or_name"]
                if isinstance(value, tuple):
                    changed[item.name] = tuple(_absolute_path(part, or_name) for part in value)
                else:
                    changed[item.name] = _absolute_path(value, or_name)
        return dataclasses.replace(section, **changed)

    return cast(Config, walk(config))


def _absolute_path(value: str, or_name: Names | None) -> str:
    """A path made absolute; addresses, and names that a field allows instead, as they are."""
    is_address = value.startswith("starter:") or "://" in value
    if or_name == "detector" and value == STARTER:  # whatever lies in this folder
        return value
    may_be_name = or_name == "hub_model" or (or_name == "checkpoint" and "/" not in value)
    if is_address or (may_be_name and not Path(value).exists()):
        return value
    return str(Path(value).absolute())


def as_dict(config: Any) -> dict[str, Any]:
    """Plain nested dictionary of a (sub-)config, ready for JSON."""
    return dataclasses.asdict(config)


def as_yaml(config: Any) -> str:
    """A whole config as YAML that loads to an equal one."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes tuples as lists, in one line."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        tuple,
        lambda dumper, data: dumper.represent_sequence(
            "tag:yaml.org,2002:seq", data, flow_style=True
        ),
    )
    return str(yaml.dump(as_dict(config), Dumper=Dumper, sort_keys=False, width=100))
