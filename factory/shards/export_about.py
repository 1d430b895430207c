"""What lies beside the images of an export: card, license, lineage, croissant, digests."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from factory.errors import IntegrityError
from factory.provenance.licenses import hub_id
from factory.provenance.lineage import UNKNOWN, read_lineage
from factory.shards import layout
from factory.shards.card_header import completed, header_of, split_card
from factory.shards.reader import metadata_rows
from factory.shards.writer import SUFFIXES
from factory.shots.plan import Plan
from factory.store import Store
from factory.store.atomic import write_atomically, writing
from factory.store.json_text import json_text

SUMS, PROPERTY, REC = "SHA256SUMS", "property", "rec"
PARQUET_FILES = "train-*.parquet"
HOW = {
    "imagefolder": (
        "Each folder is a person, its name the label; `datasets.load_dataset(FOLDER)` reads it."
    ),
    "parquet": "`datasets.load_dataset(FOLDER)` reads it: image, label and key of each row.",
    REC: (
        "train.rec and train.idx are MXNet RecordIO as insightface reads it, `property` its number "
        "of classes, height and width; train.lst has class, identity and key of each record."
    ),
}
"""What a reader of an export is told, by its kind."""
Digests = Iterator[tuple[str, str]]
"""(name below the export, sha256) of files."""


def write_about(store: Store, plan: Plan, kind: str, out: Path, count: int) -> None:
    """Write what an export of `count` images carries besides them; what is there stays.

    SHA256SUMS is written last, so that it is there only where all else is.
    """
    title = " ".join(plan.request.dataset_and_version)
    about = {
        name: store.get(name)
        for name in (layout.LICENSE, layout.NOTICE, layout.LINEAGE)
        if store.exists(name)  # an older factory wrote it not
    }
    about[layout.CARD] = _card(store, kind, title, count)
    if kind == REC:
        about[PROPERTY] = _property(store, plan, out)
    data = [*(DIGESTS[kind](store, plan, out))] if kind != "imagefolder" else []
    if store.exists(layout.CROISSANT):
        about[layout.CROISSANT] = _croissant(store, kind, title, out, data)
    for name, content in about.items():
        if not (out / name).is_file() or (out / name).read_bytes() != content:
            write_atomically(out / name, content)
    own = [(name, hashlib.sha256(about[name]).hexdigest()) for name in sorted(about)]
    _write_sums(out / SUMS, lambda: iter([*own, *(data or DIGESTS[kind](store, plan, out))]))


def _card(store: Store, kind: str, title: str, count: int) -> bytes:
    """The card of a release for its export, whose header names none of the release's files."""
    before = store.get(layout.CARD).decode() if store.exists(layout.CARD) else f"# {title}\n"
    _, header, text = split_card(before)
    header = header.partition("\nconfigs:\n")[0].replace("\n  - webdataset", "")
    lineage = read_lineage(store)
    license = hub_id((lineage.license if lineage else "") or UNKNOWN)
    wanted = header_of(license, title, count, PARQUET_FILES)
    if kind != "parquet":
        del wanted["configs"]
    told = (
        f"Exported from {title} as {kind}. {HOW[kind]} `{SUMS}` lists all files. Other paths in "
        "this card are those of the release.\n\n"
    )
    whole = f"---\n{header}\n---\n{told}{text}" if header else told + text
    return completed(whole, wanted).encode()


def _property(store: Store, plan: Plan, out: Path) -> bytes:
    """Number of classes, height and width, as insightface's trainers read them."""
    from PIL import Image

    from factory.sources.recordio import RecordFile, read_index

    people = {row["identity"] for row in _rows(store, plan)}
    file = RecordFile(out / "train.rec")
    keys, offsets = read_index(file)
    first = file.read(int(offsets[keys.tolist().index(1)])).image
    with Image.open(io.BytesIO(first)) as image:
        width, height = image.size
    return f"{len(people)},{height},{width}\n".encode()


def _croissant(
    store: Store, kind: str, title: str, out: Path, data: Iterable[tuple[str, str]]
) -> bytes:
    """croissant.json of a release for its export: it describes these files, or none of them."""
    body: dict[str, Any] = json.loads(store.get(layout.CROISSANT))
    body.pop("recordSet", None)
    body["description"] = f"Exported from {title} as {kind}. {HOW[kind]} {body['description']}"
    body["distribution"] = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{(out / name).stat().st_size} B",
            "encodingFormat": FORMATS.get(Path(name).suffix, "text/plain"),
            "sha256": sha256,
        }
        for name, sha256 in data
    ]
    return (json_text(body, indent=1) + "\n").encode()


FORMATS = {".parquet": "application/x-parquet", ".rec": "application/octet-stream"}
"""Media types of files of exports."""


def _digests_of_folder(store: Store, plan: Plan, out: Path) -> Digests:
    """Of images, as the release knows them: all were compared with it."""
    for row in _rows(store, plan):
        folder = row["key"].partition("_")[0]
        names = [f"{folder}/{row['key']}{end}" for end in SUFFIXES.values()]
        name = next((name for name in names if (out / name).is_file()), None)
        if name is None:
            raise IntegrityError(f"{out}: {row['key']} is gone; export again")
        yield name, row["sha256"]


def _digests_of_files(*patterns: str) -> Callable[[Store, Plan, Path], Digests]:
    """Of whole files of an export, read again."""

    def digests(store: Store, plan: Plan, out: Path) -> Digests:
        for file in sorted(file for pattern in patterns for file in out.glob(pattern)):
            with file.open("rb") as handle:
                yield file.name, hashlib.file_digest(handle, "sha256").hexdigest()

    return digests


DIGESTS = {
    "imagefolder": _digests_of_folder,
    "parquet": _digests_of_files(PARQUET_FILES),
    REC: _digests_of_files("train.rec", "train.idx", "train.lst"),
}


def _rows(store: Store, plan: Plan) -> Iterator[dict[str, Any]]:
    for unit in plan.units:
        yield from metadata_rows(store, unit.index)


def _write_sums(path: Path, digests: Callable[[], Digests]) -> None:
    """SHA256SUMS, as sha256sum writes it; the same as is there stays."""

    def lines() -> Iterator[bytes]:
        return (f"{sha256}  {name}\n".encode() for name, sha256 in digests())

    if path.is_file():
        wanted = hashlib.sha256()
        for line in lines():
            wanted.update(line)
        with path.open("rb") as held:
            if hashlib.file_digest(held, "sha256").hexdigest() == wanted.hexdigest():
                return
    with writing(path) as file:
        file.writelines(lines())
