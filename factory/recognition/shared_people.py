"""Which classes of a further source are people of the main one (batches.mix.same_people).

A release holds people of its own and, where it was filled up or edited, people of a source. These
have names in its roster, by which their made images join the class of their photographs; whoever
has none is somebody else, whatever number stands for them. So VIGFace (ICCV 2025) learns: virtual
people as further classes, images of real people added to theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from factory.config import SourceConfig
from factory.errors import ConfigError
from factory.provenance.naming import Naming
from factory.provenance.pseudonyms import KEY_VARIABLE, is_pseudonym, key_in_environment
from factory.sources.index_building import source_people
from factory.sources.tar_set import open_tars


def shared_names(config: SourceConfig, known: Sequence[str]) -> dict[str, str] | None:
    """What the main source calls the people of a release, by the names of their classes.

    `known` are the names of the main source. People of the release's own are left out. None for
    what is no release, where every class has the name that it has. Raises ConfigError where
    pseudonyms stand for them and there is no key.
    """
    people = source_people(open_tars(config)) if config.kind == "webdataset" else None
    if people is None:
        return None
    there = set(known)
    hidden = [name for name in people.values() if name not in there and is_pseudonym(name)]
    if not hidden:
        return people
    key = key_in_environment()
    if key is None:
        raise ConfigError(
            f"same_people: {len(hidden)} real people of {config.path} are called by pseudonyms; "
            f"want their key in {KEY_VARIABLE}, by which they are found in the source, or "
            "same_people=false, which takes them for other people"
        )
    called = {Naming(key).of(name): name for name in known}
    return {label: called.get(name, name) for label, name in people.items()}
