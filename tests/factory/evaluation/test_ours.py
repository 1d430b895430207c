"""Images of a release are found however they were saved again, and nobody else's are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import ConfigError, IntegrityError, StoreError
from factory.evaluation.duplicates import distances
from factory.evaluation.image_queries import HASHES, Query, hashes_of, read_queries, read_query
from factory.evaluation.ours import MAX_BITS, search
from factory.provenance.withdrawn import WITHDRAWN, Withdrawn, mark_withdrawn
from factory.shards import layout
from factory.shards.reader import metadata_rows, read_face
from factory.sources import open_source
from factory.store import LocalStore
from tests.releases import write_release

PEOPLE, IMAGES = [3, 4], 5


@pytest.fixture(scope="module")
def pack():
    """The starter pack's source: rendered heads, the nearest strangers that there are."""
    return open_source(SourceConfig())


def rows_of(pack, person: int) -> np.ndarray:
    return np.flatnonzero(pack.labels == person)


@pytest.fixture(scope="module")
def release(pack, tmp_path_factory) -> LocalStore:
    """A sealed release of the pack's first people in two units."""
    store = LocalStore(tmp_path_factory.mktemp("ours") / "release")
    write_release(
        store, PEOPLE, IMAGES, px=112, draw=lambda i, k, px: pack[rows_of(pack, i)[k]].image_HWC
    )
    return store


@pytest.fixture(scope="module")
def published(release) -> dict[str, bytes]:
    """Files of kept images by key."""
    return {
        row["key"]: read_face(release, unit, row)
        for unit in range(len(PEOPLE))
        for row in metadata_rows(release, unit)
    }


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def saved(image: Image.Image, kind: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def written(folder: Path, files: dict[str, bytes]) -> list[Query]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return list(read_queries([folder]))


def test_the_same_bytes_are_found_without_decoding_an_image(release, published, tmp_path):
    heard = []
    queries = written(tmp_path, {f"{key}.jpg": data for key, data in published.items()})
    found = search(queries, release, lambda *progress: heard.append(progress))
    assert {(Path(name).stem, match.key) for name, match in found.items()} == {
        (key, key) for key in published
    }
    assert {match.bits for match in found.values()} == {-1}
    assert str(found[str(tmp_path / "000006_0004.jpg")]) == (
        "is 000006_0004, identity 6 of drawn 0.1.0 (the same sha256)"
    )
    assert heard == [], "no tar was read"


CHANGES = {
    "stripped": lambda x: saved(x),
    "quality 75": lambda x: saved(x, "JPEG", quality=75),
    "to 224 and back at 75": lambda x: saved(
        x.resize((224, 224)).resize((112, 112)), "JPEG", quality=75
    ),
    "half the size": lambda x: saved(x.resize((56, 56))),
    "webp": lambda x: saved(x, "WEBP", quality=80),
    "mirrored": lambda x: saved(x.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "gray": lambda x: saved(x.convert("L")),
    "lighter": lambda x: saved(x.point(lambda value: int(value * 0.9 + 20))),
    "3 % cut at each edge": lambda x: saved(x.crop((3, 3, 109, 109)), "JPEG", quality=75),
    "lying, upright by EXIF": lambda x: lying(x),
}


def lying(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it
    return saved(image.rotate(90), "JPEG", quality=90, exif=exif)


@pytest.mark.parametrize("name", CHANGES)
def test_images_saved_again_are_found(name, release, published, tmp_path):
    files = {f"{key}.jpg": CHANGES[name](decoded(data)) for key, data in published.items()}
    queries = written(tmp_path, files)
    assert {query.mark for query in queries} == {None}
    found = search(queries, release)
    assert all(Path(file).stem == match.key for file, match in found.items())
    missed = len(published) - len(found)
    assert missed <= (2 if name == "3 % cut at each edge" else 0)
    assert all(0 <= match.bits <= MAX_BITS for match in found.values())


def test_nobody_else_of_the_starter_pack_is_found(release, pack):
    """0 of one image of each; README has it for all images of the pack."""
    others = [rows_of(pack, person)[0] for person in range(sum(PEOPLE), len(pack.names))]
    queries = [Query(str(i), "0" * 64, None, hashes_of(pack[i].image_HWC)) for i in others]
    assert len(queries) > 190, "at most 1.6 % by the rule of three"
    assert search(queries, release) == {}


def test_the_limit_lies_far_below_what_images_of_two_people_have_in_common(pack):
    """Brute force over all pairs of a part of the pack, every query in all its forms."""
    rows = np.arange(0, 600, 5)
    hashes = np.stack([hashes_of(pack[i].image_HWC) for i in rows])
    bits = distances(hashes.reshape(-1, 32), hashes[:, 0]).reshape(len(rows), HASHES, -1).min(1)
    others = bits[pack.labels[rows][:, None] != pack.labels[rows]]
    assert others.min() >= MAX_BITS + 8
    assert np.median(others) > 4 * MAX_BITS


def test_what_is_no_image_is_not_found_and_stops_nothing(release, published, tmp_path):
    good = published["000000_0000"]
    huge = saved(Image.new("L", (8192, 4096)))
    queries = written(tmp_path, {"a.jpg": good, "b.jpg": b"no", "c.png": good[:50], "d.png": huge})
    assert [len(query.hashes_V32) for query in queries] == [HASHES, 0, 0, 0]
    assert [Path(name).name for name in search(queries, release)] == ["a.jpg"]


def test_only_files_of_a_folder_are_images(published, tmp_path):
    (tmp_path / "x.jpg").mkdir()
    (tmp_path / "y.jpg").symlink_to(tmp_path / "nowhere")
    (query,) = written(tmp_path, {"a.jpg": published["000000_0000"]})
    assert query.name == str(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match=r"x\.jpg cannot be read"):
        read_query(tmp_path / "x.jpg")


def test_a_release_that_lost_a_file_or_its_people_is_one_line(published, tmp_path):
    store = LocalStore(tmp_path / "release")
    write_release(store, [1], 2, px=32)
    query = Query("q", "0" * 64, None, hashes_of(np.asarray(decoded(published["000000_0000"]))))
    store.delete(layout.metadata_name(0))
    with pytest.raises(IntegrityError, match=r"has lost a file .*run jobs\.verify"):
        search([query], store)
    mark_withdrawn(store, Withdrawn("0.1.1", "2026-11-26", deleted="2026-11-27"))
    with pytest.raises(StoreError, match=r"was withdrawn .*; use its successor 0\.1\.1"):
        search([query], store)
    store.put(WITHDRAWN, b"")
    with pytest.raises(IntegrityError, match=r"_withdrawn\.json: is not the mark of a withdrawal"):
        search([query], store)


def test_paths_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no file and no folder"):
        list(read_queries([tmp_path / "none"]))
    with pytest.raises(ConfigError, match="holds no images"):
        list(read_queries([tmp_path]))


def test_releases_that_are_not_whole_are_refused(published, tmp_path):
    store = LocalStore(tmp_path / "release")
    write_release(store, [1], 2, px=32)
    (tmp_path / "q.png").write_bytes(saved(decoded(published["000000_0000"])))
    query = read_query(tmp_path / "q.png")
    assert search([query], store) == {}
    tar = bytearray(store.get(layout.tar_name(0)))
    row = metadata_rows(store, 0)[0]
    tar[row["offset"] : row["offset"] + 20] = bytes(20)
    store.put(layout.tar_name(0), bytes(tar))
    with pytest.raises(IntegrityError, match=r"train-000000.tar: 000000_0000: not a readable"):
        search([query], store)
    store.delete(layout.SUCCESS)
    with pytest.raises(StoreError, match="is not a sealed release"):
        search([query], store)
