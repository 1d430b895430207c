"""A unit's faces in several spaces: what is known is read, what is not is embedded and checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.evaluation import measure_unit
from factory.evaluation.embeddings import RecognizerSpace
from factory.evaluation.measure_unit import UnitImages, embed_unit
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.execution.inline import run_units
from factory.release import build, evaluate_and_report
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept, metadata_rows
from factory.shards.vectors import read_vectors
from factory.shards.writer import read_commit
from factory.sources import open_source
from factory.sources.decoding import decode_image
from tests.conftest import IMAGES, PEOPLE


def silent(line: str) -> None:
    """A log that nobody reads."""


class Flat:
    """A space of unit vectors from pixels, which notes how many images it sees at once."""

    sha256, has_unit_length = "flat", True

    def __init__(self) -> None:
        self.seen: list[int] = []

    def embed(self, images_NHWC):
        self.seen.append(len(images_NHWC))
        flat = images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) + 1
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def unit(tmp_path_factory, people, weights):
    """(store, commit record, rows, images) of the first unit of a published release."""
    from tests.conftest import load, tiny_dotlist

    root = tmp_path_factory.mktemp("measured")
    (root / "c.yaml").write_text("{}\n")
    config = load(root / "c.yaml", tiny_dotlist(people, weights, root / "store"))
    build(config, run_units, log=silent)
    store = layout.release_store(config)
    rows = metadata_rows(store, 0)
    images = np.stack(
        [
            decode_image(data, row["key"], 1 << 24)
            for row, data in iterate_kept(store, open_plan(store)[0])
        ]
    )
    return store, read_commit(store, 0), rows, images[: len(rows)]


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_images_are_decoded_in_batches_and_embedded_in_order(unit, monkeypatch, batch):
    store, shard, rows, images = unit
    monkeypatch.setattr(measure_unit, "BATCH", batch)
    flat, sampled, beats = Flat(), Flat(), []
    known = {"known": np.zeros((4, 2))}
    spaces = {"flat": flat, "hash": PerceptualHash(), "known": None}
    vectors, features = embed_unit(
        UnitImages(store, shard, rows),
        4,
        spaces,
        known,
        {"sampled": sampled},
        np.array([1, 3]),
        beats.append,
    )
    assert (vectors["flat"] == Flat().embed(images)).all()
    assert (vectors["hash"] == PerceptualHash().embed(images)).all()
    assert vectors["known"] is known["known"]
    assert (features["sampled"] == Flat().embed(images[[1, 3]])).all()
    assert sum(sampled.seen) == 2
    assert max(flat.seen) <= batch
    assert len(beats) == len(flat.seen), "a sign of life a batch"


def test_nothing_is_decoded_where_all_is_known(unit):
    _, shard, rows, _ = unit
    known = {"known": np.zeros((4, 2))}
    nowhere = UnitImages(None, shard, rows)
    vectors, features = embed_unit(nowhere, 4, {"known": None}, known, {}, np.array([0]))
    assert (vectors, features) == (known, {})


def test_only_sampled_images_are_decoded_where_the_rest_is_known(unit, monkeypatch):
    store, shard, rows, _ = unit
    decoded = []
    images = UnitImages(store, shard, rows)
    monkeypatch.setattr(
        images, "_decode", lambda row: decoded.append(row["key"]) or np.ones((8, 8, 3))
    )
    known = {"known": np.zeros((4, 2))}
    embed_unit(images, 4, {"known": None}, known, {"sampled": Flat()}, np.array([2]))
    assert decoded == [rows[2]["key"]]


@pytest.mark.parametrize(
    ("vector", "has_unit_length", "message"),
    [
        (
            [0.5, np.nan],
            True,
            r"looks at faces gives 4 vectors for 4 images, 4 of them not of unit",
        ),
        ([0.49, 0.49], True, "4 of them not of unit length"),
        ([7.0, np.inf], False, "4 of them not finite"),
        ([7.0, 7.0], False, None),
    ],
)
def test_vectors_that_are_none_are_refused(unit, vector, has_unit_length, message):
    store, shard, rows, _ = unit

    class Given:
        def embed(self, images):
            return np.tile(np.array(vector, np.float32), (len(images), 1))

    space = Given()
    space.has_unit_length, images = has_unit_length, UnitImages(store, shard, rows)
    for given in (({"it": space}, {}), ({}, {"it": space})):

        def embed(given=given):
            return embed_unit(images, 4, given[0], {}, given[1], np.arange(4))

        if message is None:
            assert all(len(some["it"]) == 4 for some in embed() if some)
            continue
        with pytest.raises(IntegrityError, match=message):
            embed()


def test_a_shard_that_was_changed_is_not_measured(unit):
    store, shard, rows, _ = unit
    files = [replace(file, sha256="0" * 64) for file in shard.files]
    images = UnitImages(store, replace(shard, files=files), rows)
    with pytest.raises(IntegrityError, match=r"train-000000\.tar: does not have its sha256"):
        images.decode([0])


def test_makers_vectors_are_used_and_images_only_where_asked_for(release_config, monkeypatch):
    """The conditioning recognizer embeds no kept face again, unless audit.from_images."""
    config = release_config("release.keep_vectors=true")
    build(config, run_units, log=silent)
    store, source = layout.release_store(config), open_source(config.source)
    plan, _ = open_plan(store)
    from factory.release import Release

    embedded = []
    embed = RecognizerSpace.embed

    def counted(self, images):
        embedded.append((self.sha256, len(images)))
        return embed(self, images)

    monkeypatch.setattr(RecognizerSpace, "embed", counted)
    recognizer = plan.request.weights["recognizer"]
    for from_images, wanted in ((False, 0), (True, 12)):
        audit = replace(config.audit, from_images=from_images)
        sealed = Release(store, plan, manifest.collect(store, plan))
        evaluate_and_report(replace(config, audit=audit), source, sealed, run_units, silent)
        assert sum(count for sha256, count in embedded if sha256 == recognizer) == wanted
        assert sum(count for sha256, count in embedded if sha256 != recognizer) == 12
        embedded.clear()


def test_no_template_of_a_real_person_is_in_a_release(release_config, tmp_path):
    """Units of virtual people have vectors, those with a real one none; nothing else is left."""
    config = release_config(
        "identities.num_virtual=2",
        f"plan.fill_to={IMAGES + 1}",
        "release.allow_real=true",
        "release.keep_vectors=true",
        "plan.identities_per_unit=2",
    )
    during = []

    def watched(*args):
        run_units(*args)
        during.append(sorted(path.relative_to(tmp_path / "store") for path in files(tmp_path)))

    build(config, watched, log=silent)
    store = layout.release_store(config)
    plan, roster = open_plan(store)
    kinds = {person.index: person.kind for person in roster.identities}
    assert list(kinds.values()) == ["virtual"] * 2 + ["real"] * PEOPLE
    for unit in plan.units:
        shard = read_commit(store, unit.index)
        people = range(unit.first_identity, unit.first_identity + unit.num_identities)
        virtual = all(kinds[person] == "virtual" for person in people)
        assert bool(read_vectors(store, shard)) == virtual == (unit.index == 0)
    evaluated = [path for path in during[1] if "evaluation" in path.parts]
    assert len(evaluated) == len(plan.units) + 2
    assert all(path.parts[:2] == ("tiny", "evaluation") for path in evaluated)
    assert not [path for path in files(tmp_path) if "evaluation" in path.parts]


def files(root) -> list:
    return [path for path in (root / "store").rglob("*") if path.is_file()]
