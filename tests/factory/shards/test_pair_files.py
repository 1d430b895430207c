"""A sealed test set: its files by readers that know only the public formats; refused to train."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickletools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import PairsConfig, SourceConfig
from factory.errors import PlanError, SourceError
from factory.identities.roster import Roster
from factory.records import Face, Scores
from factory.shards import layout, manifest, writer
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.shots.plan import Plan, cut_units
from factory.shots.request import PlanRequest
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore
from tests.conftest import draw_face
from tests.planned import REQUEST, shots_of, unit_result, virtual_people

PEOPLE, IMAGES, PX = 14, 4, 16
PAIRS = PairsConfig(
    bins={"yaw": (0.0, 20.0, 60.0)}, num_pairs=12, num_lookalikes=10, lookalike_cosine=(0.2, 0.9)
)


def unit_vectors() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(PEOPLE, 5)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def faces_of(request: PlanRequest, people: range) -> list[Face]:
    """Drawn faces whose yaw grows with the number of their image."""
    encoding = writer.Encoding("jpeg", 90)
    shots = shots_of(request, [(person, image) for person in people for image in range(IMAGES)])
    return [
        Face(
            replace(shot, yaw=15.0 * shot.image + shot.identity % 3),
            encoding.encode(draw_face(shot.identity, shot.image, PX)),
            Scores(0.9, -1, None, None, 1.0, 1.0),
        )
        for shot in shots
    ]


def begun(root, pairs: PairsConfig | None) -> tuple[LocalStore, Plan]:
    """A release whose units are committed and not sealed yet."""
    store, request = LocalStore(root), replace(REQUEST, pairs=pairs)
    identities = virtual_people(*[IMAGES] * PEOPLE)
    roster = Roster(identities, unit_vectors())
    files = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    plan = Plan(request, digests, cut_units(identities, 7))
    for name, content in {**files, layout.PLAN: plan.to_json()}.items():
        store.put(name, content)
    for unit in plan.units:
        people = range(unit.first_identity, unit.first_identity + unit.num_identities)
        made = unit_result(unit.index, plan.hash, faces_of(request, people))
        writer.commit(store, made, identities)
    return store, plan


def sealed(root, pairs: PairsConfig | None = PAIRS) -> LocalStore:
    store, plan = begun(root, pairs)
    manifest.seal(store, plan, 1.0)
    manifest.seal_extras(store)
    store.put(layout.SUCCESS, b"")
    return store


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> LocalStore:
    return sealed(tmp_path_factory.mktemp("benchmark") / "r")


def outside_reader(data: bytes) -> tuple[list[bytes], list[bool]]:
    """insightface's .bin without unpickling: the byte strings, then the flags, of its opcodes."""
    images, flags = [], []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"):
            images.append(argument)
        elif opcode.name in ("NEWTRUE", "NEWFALSE"):
            flags.append(opcode.name == "NEWTRUE")
        else:
            allowed = ("PROTO", "FRAME", "EMPTY_LIST", "MEMOIZE", "MARK", "APPENDS", "TUPLE2")
            assert opcode.name in (*allowed, "STOP", "BINGET", "LONG_BINGET"), opcode.name
    return images, flags


def table(store: LocalStore, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(store.get(f"pairs/{name}.csv").decode())))


def metadata(store: LocalStore) -> dict[str, dict]:
    return {row["key"]: row for unit in (0, 1) for row in metadata_rows(store, unit)}


def test_a_bin_is_read_by_who_knows_the_public_format_and_holds_the_images_of_its_table(release):
    known = metadata(release)
    for name in ("yaw-0-20", "yaw-20-60", "lookalikes"):
        rows, data = table(release, name), release.get(f"pairs/{name}.bin")
        images, flags = outside_reader(data)
        assert len(images) == 2 * len(flags) == 2 * len(rows) > 0
        assert flags == [row["is_same"] == "1" for row in rows] == [True, False] * (len(rows) // 2)
        for index, row in enumerate(rows):
            assert (row["identity_1"] == row["identity_2"]) == flags[index]
            for side in (1, 2):
                fact, image = known[row[f"key_{side}"]], images[2 * index + side - 1]
                assert hashlib.sha256(image).hexdigest() == fact["sha256"]
                assert str(fact["identity"]) == row[f"identity_{side}"]
                assert Image.open(io.BytesIO(image)).size == (PX, PX)


def test_pairs_are_in_their_bins_and_lookalikes_in_their_range(release):
    known, unit = metadata(release), unit_vectors()
    for name, low, high in (("yaw-0-20", 0, 20), ("yaw-20-60", 20, 60)):
        for row in table(release, name):
            assert low <= abs(known[row["key_1"]]["yaw"] - known[row["key_2"]]["yaw"]) <= high
    for row in table(release, "lookalikes"):
        first, second = int(row["identity_1"]), int(row["identity_2"])
        assert row["is_same"] == "1" or 0.2 <= unit[first] @ unit[second] <= 0.9


def test_gallery_and_probes_are_all_images_once(release):
    gallery, probes = table(release, "gallery"), table(release, "probes")
    keys = [row["key"] for row in (*gallery, *probes)]
    assert sorted(keys) == sorted(metadata(release))
    people = {row["identity"] for row in gallery}
    assert len(people) == len(gallery) == 11
    assert all((row["identity"] in people) == (row["is_mated"] == "1") for row in probes)


def test_everything_is_sealed_marked_and_the_same_again(release, tmp_path):
    assert verify(release) == []
    names = release.list("pairs/")
    sums = release.get(layout.SUMS).decode()
    assert len(names) == 9
    assert all(f"  {name}\n" in sums for name in names)
    body = json.loads(release.get(layout.MANIFEST))
    assert (body["kind"], body["note"][:14]) == ("benchmark", "Never train on")
    index = json.loads(release.get("pairs/index.json"))
    assert index["note"] == body["note"]
    assert index["num_pairs"]["yaw-0-20"] == 24
    again = sealed(tmp_path / "again")
    assert again.get(layout.SUMS) == release.get(layout.SUMS)
    other = LocalStore(tmp_path / "again")
    other.put("pairs/stray.csv", b"")
    assert verify(other) == [f"pairs/stray.csv is not in {layout.SUMS}"]


def test_it_is_refused_as_a_source_and_as_a_stream_unless_allowed(release, tmp_path):
    source = SourceConfig(kind="webdataset", path=str(release.root), image_px=PX)
    refused = r"^source\.path: .* is a test set \(release\.kind=benchmark\), never to be trained on"
    with pytest.raises(SourceError, match=refused):
        open_source(source)
    with pytest.raises(SourceError, match=refused):
        ReleaseStream(release)
    assert len(open_source(replace(source, allow_benchmark=True))) == PEOPLE * IMAGES
    assert len(ReleaseStream(release, allow_benchmark=True)) == PEOPLE * IMAGES


def test_a_training_set_has_no_pairs_and_no_mark_and_is_read(tmp_path):
    plain = sealed(tmp_path / "plain", None)
    assert plain.list("pairs/") == []
    assert "kind" not in json.loads(plain.get(layout.MANIFEST))
    source = SourceConfig(kind="webdataset", path=str(plain.root), image_px=PX)
    assert len(open_source(source)) == PEOPLE * IMAGES


def test_bins_without_a_pair_are_left_out_and_no_bin_at_all_is_an_error(tmp_path):
    bins = {"yaw": (0.0, 20.0, 80.0), "pitch": (0.0, 10.0)}
    store = sealed(tmp_path / "a", replace(PAIRS, bins=bins, num_lookalikes=0))
    numbers = json.loads(store.get("pairs/index.json"))["num_pairs"]
    assert numbers["pitch-0-10"] == 0  # which no shot of these has
    assert not store.exists("pairs/pitch-0-10.bin")
    never, plan = begun(tmp_path / "b", PairsConfig(bins={"pitch": (0.0, 10.0)}, num_lookalikes=0))
    with pytest.raises(PlanError, match=r"^pairs\.bins: no bin has a genuine and an impostor"):
        manifest.seal(never, plan, 1.0)
    absent, plan = begun(tmp_path / "c", PairsConfig(bins={"light": ()}))
    with pytest.raises(PlanError, match=r"^pairs\.bins\.light: the metadata .* no such column"):
        manifest.seal(absent, plan, 1.0)


def test_a_plan_keeps_what_its_pairs_are_and_that_of_a_training_set_is_as_before():
    request = replace(REQUEST, pairs=PAIRS)
    assert PlanRequest.from_dict(request.to_dict()) == request
    assert "pairs" not in REQUEST.to_dict()
