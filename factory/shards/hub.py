"""A dataset repository of the Hugging Face hub, by huggingface_hub; what fails is one line.

The token is that of HF_TOKEN or of the hub's own login, and stands in no message.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factory.errors import ConfigError, FactoryError, StoreError, Unavailable
from factory.shards import layout
from factory.shards.hub_files import HubFile
from factory.sources.hub_source import MISSING
from factory.store import LocalStore

AT_ONCE, BYTES_AT_ONCE = 100, 4 << 30
"""Files, and their bytes, that are prepared and uploaded together."""
ATTRIBUTES = ".gitattributes"
"""A file of every repository, which the hub itself keeps."""
KIND = "dataset"
Log = Callable[[str], None]


class Hub:
    """A dataset repository, owner/name."""

    def __init__(self, repo: str) -> None:
        """Raises ConfigError without the library."""
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise ConfigError(MISSING.format(what="push")) from None
        self._api, self._repo = HfApi(), repo

    def open(self, *, public: bool) -> None:
        """Create the repository unless it is there; raises StoreError where others may see it."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            found = self._api.repo_info(self._repo, repo_type=KIND)
        except RepositoryNotFoundError:
            self._api.create_repo(self._repo, repo_type=KIND, private=not public, exist_ok=True)
            found = self._api.repo_info(self._repo, repo_type=KIND)
        if bool(found.private) == public:
            is_now, wanted = ("private", "without") if public else ("public", "with")
            raise StoreError(
                f"{self._repo}: is {is_now}; push {wanted} --public, or change it in its settings"
            )

    def has_tag(self, tag: str) -> bool:
        refs = self._api.list_repo_refs(self._repo, repo_type=KIND)
        return any(ref.name == tag for ref in refs.tags)

    def files(self, revision: str) -> dict[str, Any]:
        """What huggingface_hub tells of each file at a revision."""
        tree = self._api.list_repo_tree(
            self._repo, recursive=True, revision=revision, repo_type=KIND
        )
        return {one.path: one for one in tree if hasattr(one, "blob_id") and one.path != ATTRIBUTES}

    def commit(self, files: Mapping[str, HubFile], dataset: str, message: str, log: Log) -> str:
        """The commit with these files alone, made unless main is it already.

        Raises StoreError where main holds files that are no release of the dataset.
        """
        from huggingface_hub import CommitOperationDelete

        parent = str(self._api.repo_info(self._repo, repo_type=KIND).sha)
        there = self.files(parent)
        missing = [name for name in sorted(files) if not is_same(files[name], there.get(name))]
        others = sorted({*there} - {*files})
        if not missing and not others:
            return parent
        unknown = sorted({*there} - {layout.CARD})
        if unknown and self._dataset(parent) != dataset:
            raise StoreError(
                f"{self._repo}: holds {len(unknown)} files that are no release of {dataset}, first "
                f"{unknown[0]}; want a new repository"
            )
        with tempfile.TemporaryDirectory(prefix="push-") as folder:
            made = self._api.create_commit(
                self._repo,
                [
                    *(CommitOperationDelete(name) for name in others),
                    *self._uploaded([files[name] for name in missing], Path(folder), log),
                ],
                commit_message=message,
                repo_type=KIND,
                parent_commit=parent,
            )
        return str(made.oid)

    def _uploaded(self, files: Sequence[HubFile], folder: Path, log: Log) -> list[Any]:
        """Additions to a commit whose large files the hub has; copies of these are removed."""
        from huggingface_hub import CommitOperationAdd

        additions: list[Any] = []
        for part in _parts(files):
            first = len(additions)
            paths = [_on_disk(file, folder / str(first + at)) for at, file in enumerate(part)]
            own = [
                CommitOperationAdd(file.name, path) for file, path in zip(part, paths, strict=True)
            ]
            self._api.preupload_lfs_files(self._repo, own, repo_type=KIND)
            for addition, path in zip(own, paths, strict=True):
                if addition.path_or_fileobj == b"" and Path(path).parent == folder:
                    Path(path).unlink()
            additions += own
            log(f"{len(additions)} of {len(files)} files")
        return additions

    def tag(self, tag: str, commit: str) -> None:
        self._api.create_tag(self._repo, tag=tag, revision=commit, repo_type=KIND)

    def _dataset(self, revision: str) -> str | None:
        """The dataset of which main holds a release; None where it holds none."""
        from huggingface_hub.errors import EntryNotFoundError

        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._api.hf_hub_download(
                    self._repo,
                    layout.MANIFEST,
                    repo_type=KIND,
                    revision=revision,
                    local_dir=folder,
                )
                return str(json.loads(Path(path).read_bytes())["dataset"])
            except (EntryNotFoundError, ValueError, KeyError, TypeError):
                return None


def _parts(files: Sequence[HubFile]) -> Iterator[list[HubFile]]:
    """The files in order, some at a time."""
    part: list[HubFile] = []
    for file in files:
        full = len(part) == AT_ONCE or sum(f.size for f in part) + file.size > BYTES_AT_ONCE
        if part and full:
            yield part
            part = []
        part.append(file)
    if part:
        yield part


def is_same(file: HubFile, entry: Any) -> bool:
    """Whether a file of the repository, if it is there, has the bytes of one of a release."""
    if entry is None or entry.size != file.size:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == file.sha256)
    blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)  # as git names it
    for block in file.stream():
        blob.update(block)
    return bool(entry.blob_id == blob.hexdigest())


def _on_disk(file: HubFile, copy: Path) -> str:
    """A file with the bytes, checked by their digest: that of a local store, else a copy."""
    if file.content is None and isinstance(file.store, LocalStore):
        for _ in file.stream():
            pass
        return str(file.store.path(file.path))
    with copy.open("wb") as target:
        for block in file.stream():
            target.write(block)
    return str(copy)


@contextmanager
def answering(repo: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line without addresses or tokens."""
    try:
        yield
    except FactoryError:
        raise
    except Exception as error:  # because the library raises what its HTTP client does, too
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        known = _as_ours(repo, cause)
        if known is None:
            raise
        raise known from None


def _as_ours(repo: str, error: BaseException) -> StoreError | None:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return StoreError(f"{repo}: HF_HUB_OFFLINE is set; unset it to reach the hub")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403, 404):
            return StoreError(
                f"{repo}: the hub refuses ({status}); want a token with the right to write, by "
                "HF_TOKEN or `hf auth login`"
            )
        if status in (409, 412):
            return StoreError(f"{repo}: somebody else changes it ({status}); run this again")
        kind = Unavailable if status >= 500 or status == 429 else StoreError
        return kind(f"{repo}: the hub answered {status}; run this again, or check its status page")
    if type(error).__module__.startswith(("httpx", "httpcore")):
        return Unavailable(f"{repo}: the hub does not answer ({type(error).__name__}); run again")
    return None
