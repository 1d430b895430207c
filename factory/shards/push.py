"""A release to a dataset repository of the Hugging Face hub, in one commit that a tag names.

Large files are uploaded first, each once: the hub keeps what it has, so the same call goes on where
it stopped. A tag that is there says that its release is whole; it is never moved.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from factory.errors import ConfigError, StoreError
from factory.provenance.licenses import is_private, terms_of
from factory.provenance.lineage import UNKNOWN, read_lineage
from factory.provenance.withdrawn import refuse_withdrawn
from factory.shards import layout
from factory.shards.hub import Hub, answering, is_same
from factory.shards.hub_files import HubFile, files_for_hub
from factory.shards.manifest import collect, sealed_plan
from factory.shards.reader import open_sealed
from factory.store import Store

REPO = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
TAG = re.compile(r"[\w][\w.-]*")
MAX_FILES = 25_000
"""Files of one commit that the hub takes."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What is asked for of a push."""

    repo: str
    """owner/name."""
    revision: str | None = None
    """Tag of the commit; None: the release's version."""
    public: bool = False
    real_people: bool = False
    """Whether a release that people who exist may be in is pushed at all."""
    unpublished: bool = False
    """Whether one that is sealed and not published is."""
    dry_run: bool = False


def push(store: Store, wishes: Wishes, log: Log = print) -> None:
    """Bring a release to the hub; say so where it is there already.

    Raises ConfigError for a name that is none, StoreError or SourceError for a release that may not
    be pushed and a repository that holds something else, IntegrityError for a damaged file,
    Unavailable where the hub does not answer.
    """
    _check_wishes(wishes)
    files, dataset, tag = _checked(store, wishes)
    size = sum(file.size for file in files.values())
    where = f"{wishes.repo} ({'public' if wishes.public else 'private'}), tag {tag}"
    log(f"{store.url}: {len(files)} files, {size / 1e6:.1f} MB, to {where}")
    if wishes.dry_run:
        log("nothing is sent")
        return
    with answering(wishes.repo):
        hub = Hub(wishes.repo)
        hub.open(public=wishes.public)
        if hub.has_tag(tag):
            there = hub.files(tag)
            if {*there} != {*files} or not all(is_same(files[name], there[name]) for name in files):
                raise StoreError(
                    f"{wishes.repo}: tag {tag} names another release; want another --revision"
                )
            log(f"{wishes.repo}: holds this release as {tag} already; nothing to do")
            return
        commit = hub.commit(files, dataset, f"{dataset} {tag}", log)
        hub.tag(tag, commit)
    log(f"{wishes.repo}: holds the release as {tag}, commit {commit}")


def _check_wishes(wishes: Wishes) -> None:
    if not REPO.fullmatch(wishes.repo):
        raise ConfigError(f"repo: got {wishes.repo!r}; want owner/name of a dataset on the hub")
    if wishes.revision is not None and not TAG.fullmatch(wishes.revision):
        raise ConfigError(f"--revision: got {wishes.revision!r}; want a tag, as 0.1.0")


def _checked(store: Store, wishes: Wishes) -> tuple[dict[str, HubFile], str, str]:
    """(files, dataset, tag) of a release that may be pushed."""
    refuse_withdrawn(store, "release")
    plan = sealed_plan(store)
    if not wishes.unpublished and not store.exists(layout.SUCCESS):
        raise StoreError(
            f"{store.url}: is sealed and not published; finish it first, or push it with "
            "--unpublished"
        )
    lineage = read_lineage(store)
    dataset, version = plan.request.dataset_and_version
    sources = lineage.sources if lineage else ()
    is_real = plan.request.holds_real_people or plan.request.shows_real_people(sources)
    if is_real and not wishes.real_people:
        raise StoreError(
            f"{store.url}: people who exist may be in it; push it with --real-people if they agreed"
        )
    stated = (lineage.license if lineage else "") or UNKNOWN
    if wishes.public and is_private(terms_of(stated)):
        raise StoreError(
            f"{store.url}: is {stated}, so nothing of it is passed on; want no --public"
        )
    kept = collect(open_sealed(store), plan).counts.kept
    files = files_for_hub(store, f"{dataset} {version}", kept, lineage)
    if len(files) > MAX_FILES:
        raise StoreError(
            f"{store.url}: has {len(files)} files, and the hub takes {MAX_FILES} in a commit; "
            "`python -m jobs.compact` makes fewer of them"
        )
    return files, dataset, wishes.revision or version
