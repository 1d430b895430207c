"""The files of a release as they lie in a repository of the hub: by name, with their digests.

A release that refers to shards of other versions (a union) has them as files of its own there, so
the texts that tell where they lie, and the lists of digests, are written anew; all other releases
are what they are, byte for byte, but for a header that their card may lack.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from factory.errors import IntegrityError, StoreError
from factory.provenance.licenses import hub_id
from factory.provenance.lineage import UNKNOWN, Lineage
from factory.shards import layout
from factory.shards.card_header import completed, header_of
from factory.store import Store
from factory.store.json_text import json_text
from factory.store.references import owner_of, split

TARS = "data/train-*.tar"
TAR_PATTERNS = re.compile(r'\["[^"\]]*data/train-\*\.tar"(?:, "[^"\]]*data/train-\*\.tar")*\]')
"""How a card names the tars of several versions."""
UNLISTED = (layout.SIGNATURE, layout.CREDENTIALS, layout.SUCCESS)


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: where it is read from, or its content."""

    name: str
    store: Store
    path: str
    """Its name in `store`."""
    sha256: str
    size: int
    content: bytes | None = None
    """Of a file that is written for the repository."""

    def stream(self) -> Iterator[bytes]:
        """Its bytes in blocks; raises IntegrityError at the end where they are not the listed."""
        total = hashlib.sha256()
        for block in [self.content] if self.content is not None else self.store.stream(self.path):
            total.update(block)
            yield block
        if total.hexdigest() != self.sha256:
            raise IntegrityError(
                f"{self.store.url}/{self.path}: does not have its sha256; restore it"
            )


def files_for_hub(
    store: Store, title: str, num_images: int, lineage: Lineage | None
) -> dict[str, HubFile]:
    """All files of a sealed release by their names in a repository.

    Raises StoreError for one that is gone, or where two would have one name.
    """
    sums, extras = (_listed(store, name) for name in (layout.SUMS, layout.EXTRA_SUMS))
    versions = sorted({split(path)[0] for path in sums} - {""})
    own = [*sums, *extras]
    texts = _rewritten(store, own, versions)
    before = texts.get(layout.CARD) or (store.get(layout.CARD) if layout.CARD in own else b"")
    license = hub_id((lineage.license if lineage else "") or UNKNOWN)
    wanted = header_of(license, title, num_images, TARS)
    card = completed(before.decode(), wanted).encode()
    if card != before or layout.CARD in texts:
        texts[layout.CARD] = card
        extras.setdefault(layout.CARD, "")
    found: dict[str, HubFile] = {}
    for name, listed in ((layout.SUMS, sums), (layout.EXTRA_SUMS, extras)):
        if listed:
            _add(found, _of_list(store, listed, texts))
            lines = _lines({file.name: file.sha256 for file in _of_list(store, listed, texts)})
            _add(found, [_whole(store, name, lines)])
    gone = {layout.SIGNATURE, layout.CREDENTIALS} if versions else set()  # they are of another list
    rest = [name for name in UNLISTED if name not in gone and store.exists(name)]
    _add(found, (_whole(store, name, store.get(name)) for name in rest))
    return found


def _listed(store: Store, name: str) -> dict[str, str]:
    """Digests by path of a list; empty where there is none."""
    lines = store.get(name).decode().splitlines() if store.exists(name) else []
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def _lines(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _rewritten(store: Store, own: Iterable[str], versions: Iterable[str]) -> dict[str, bytes]:
    """Texts that name files of other versions, with those files as the release's own."""
    found: dict[str, bytes] = {}
    for name in own:
        if not versions or not (name in layout.ABOUT or name.startswith(("index/", "_commits/"))):
            continue
        before = store.get(name)
        text = TAR_PATTERNS.sub(f'"{TARS}"', before.decode())
        for version in versions:
            text = text.replace(f"../{version}/", "")
        if name == layout.MANIFEST or name.startswith(layout.COMMITS):
            text = json_text(_own_files(json.loads(text)), indent=1, sort_keys=True) + "\n"
        if text.encode() != before:
            found[name] = text.encode()
    return found


def _own_files(body: Any) -> Any:
    """Values of JSON whose records of files name no version that holds them."""
    if isinstance(body, list):
        return [_own_files(one) for one in body]
    if not isinstance(body, dict):
        return body
    is_file = {"name", "size", "sha256"} <= {*body}
    kept = {key: value for key, value in body.items() if not (is_file and key == "version")}
    return {key: _own_files(value) for key, value in kept.items()}


def _of_list(
    store: Store, listed: Mapping[str, str], texts: Mapping[str, bytes]
) -> Iterator[HubFile]:
    for path, digest in listed.items():
        if path in texts:
            yield _whole(store, path, texts[path])
            continue
        owner, name = owner_of(store, path)
        size = owner.size(name)
        if size is None:
            raise StoreError(f"{owner.url}/{name}: is gone; restore it")
        yield HubFile(name, owner, name, digest, size)


def _whole(store: Store, name: str, content: bytes) -> HubFile:
    return HubFile(name, store, name, hashlib.sha256(content).hexdigest(), len(content), content)


def _add(found: dict[str, HubFile], files: Iterable[HubFile]) -> None:
    for file in files:
        if file.name in found:
            raise StoreError(f"{file.store.url}: two of its versions hold {file.name}; compact it")
        found[file.name] = file
