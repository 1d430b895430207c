"""From the words of a command line to what is to be inspected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from factory.config import Config
from factory.config.arguments import apply_arguments
from factory.config.convert import to_object
from factory.config.interpolation import resolved
from factory.config.reading import Scalar, Tree, read_file
from factory.config.rules import check_ranges
from factory.errors import ConfigError
from factory.inspection.guess import guess_kind, source_path
from factory.inspection.inspect import Request

SECTIONS = ("source", "rendering", "judge", "features", "compute", "store")
"""What of a config is read; the rest of a recipe may be unfinished."""
USAGE = "want SOURCE [CONFIG] [section.key=value ...]"


def request_of(
    words: Sequence[str],
    *,
    against: str | None = None,
    pairs: str | None = None,
    sample: int | None = None,
    judge: str | None = None,
) -> Request:
    """What SOURCE [CONFIG] [section.key=value ...] asks for; raises ConfigError in one line."""
    unknown = next((word for word in words if word.startswith("--")), None)
    if unknown:
        raise ConfigError(f"{unknown}: no such option; see python -m jobs.inspect --help")
    if sample is not None and sample < 1:
        raise ConfigError(f"--sample: got {sample}; want a number of people, at least 1")
    places = [word for word in words if not _is_change(word)]
    changes = [word for word in words if word not in places]
    if not 1 <= len(places) <= 2:
        raise ConfigError(f"got {len(places)} places ({', '.join(places) or 'none'}); {USAGE}")
    if len(places) == 2 and not places[1].endswith((".yaml", ".yml")):
        raise ConfigError(f"{places[1]}: is no .yaml; {USAGE}, and another dataset by --against")
    tree = read_file(Path(places[1])) if len(places) == 2 else {}
    address, source = places[0], tree.get("source")
    own = set(source) - {"kind", "path"} if isinstance(source, dict) else set()
    given = {f"source.{key}" for key in own} | {change.partition("=")[0] for change in changes}
    config = _config(tree, changes, address, given)
    return Request(address, config, frozenset(given), against, pairs, sample, judge)


def _config(tree: dict[str, Tree], changes: list[str], address: str, given: set[str]) -> Config:
    """The config with the source put at the address; it may lack all that others need."""
    kind = next((c.partition("=")[2] for c in changes if c.startswith("source.kind=")), None)
    kind = kind or guess_kind(address)
    path = source_path(address, kind)
    place = [f"source.kind={kind}", *([] if path is None else [f"source.path={path}"])]
    sections = {name: _known(tree[name]) for name in SECTIONS if name in tree}
    settings: Config = to_object(
        Config, resolved(apply_arguments(Config, sections, [*changes, *place]))
    )
    check_ranges(settings)
    return settings


def _known(tree: Tree) -> Tree:
    """A section without the keys that a recipe leaves to the person."""
    if not isinstance(tree, dict):
        return tree
    is_open = {key for key, part in tree.items() if isinstance(part, Scalar) and part.is_required}
    return {key: _known(part) for key, part in tree.items() if key not in is_open}


def _is_change(word: str) -> bool:
    key, equals, _ = word.partition("=")
    return bool(equals) and "." in key and "/" not in key and not Path(word).exists()
