"""CemiFace's copies of the inquiry image: planned, made, told, drawn anew where rejected."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from factory.errors import IntegrityError
from factory.execution.inline import run_units
from factory.images import to_uint8
from factory.planning.preflight import preflight
from factory.records import Verdict
from factory.release import build
from factory.shards import layout
from factory.shards.layout import release_store
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.shards.verify import verify
from factory.shots.plan import Plan, first_round_shots, plan_shots
from factory.sources import FaceSet, open_source, read_faces
from factory.sources.base import SourceFace
from factory.synthesis import maker
from factory.synthesis.inquiry_copies import InquiryCopies
from factory.synthesis.loading import load_release
from tests.factory.synthesis.test_generators import SHAPE, checkpoint_of, generator_of, shot

COPIES, EACH = 2, 5


@pytest.fixture
def config(release_config, people):
    """Function of further items -> a release of three inquiry people x 5, two of them copies."""

    def make(*items, copies=COPIES):
        return release_config(
            "identities.proposal=inquiry",
            f"identities.inquiry={people}",
            "identities.inquiry_license=CC0-1.0",
            "identities.inquiry_real_people=false",
            f"identities.inquiry_copies={copies}",
            "identities.num_virtual=3",
            "identities.max_cosine=0.99999",
            f"plan.images_per_identity={EACH}",
            "shards.image_format=png",
            *items,
        )

    return make


def shots_of(config):
    store = release_store(config)
    plan, roster = open_plan(store)
    return [s for unit in plan.units for s in first_round_shots(plan.request, unit, roster)], plan


def test_a_release_holds_its_inquiry_images(config):
    made = config()
    build(made, run_units, log=lambda line: None)
    store = release_store(made)
    assert verify(store) == []
    shots, plan = shots_of(made)
    assert [bool(s.original) for s in shots] == 3 * ([True] * COPIES + [False] * (EACH - COPIES))
    faces = read_faces(open_source(made.source), 0.0)
    by_key = dict(zip(faces.keys, faces.images_NHWC, strict=True))
    kept = {row["key"]: (row, data) for row, data in iterate_kept(store, plan)}
    assert len(kept) == 3 * EACH
    for one in shots:
        row, data = kept[one.key]
        image = np.asarray(Image.open(io.BytesIO(data)))
        assert row["original"] == one.original
        copied = bool(one.original) and np.array_equal(image, by_key[one.original])
        assert copied == bool(one.original)
        if copied:
            assert row["own_cosine"] == pytest.approx(1, abs=1e-4)


def test_a_sample_tells_of_what_it_is_a_copy(config):
    made = config()
    build(made, run_units, log=lambda line: None)
    shots, plan = shots_of(made)
    data = release_store(made).get(layout.tar_name(plan.units[0].index))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = [name for name in tar.getnames() if name.endswith(".json")]
        told = [json.loads(tar.extractfile(name).read()) for name in names]
    first = [one for one in shots if one.identity < plan.units[0].num_identities]
    assert [one.get("original", "") for one in told] == [one.original for one in first]
    assert not any("edit" in one for one in told)


def test_plan_and_lineage_say_it(config):
    without, with_copies = (preflight(config(copies=n)) for n in (0, COPIES))
    assert "inquiry_copies" not in without.request.to_dict()["identities"]
    assert with_copies.request.to_dict()["identities"]["inquiry_copies"] == COPIES
    for request in (without.request, with_copies.request):
        assert "inquiry_real_people" not in request.to_dict()["identities"]
    hashes = {Plan(one.request, {}, []).hash for one in (without, with_copies)}
    assert len(hashes) == 2
    again = Plan.from_json(Plan(with_copies.request, {}, []).to_json())
    assert again.request == with_copies.request
    (inquiry,) = [one for one in with_copies.lineage.sources if one.role == "inquiry"]
    assert (inquiry.real_people, inquiry.license) == (False, "CC0-1.0")


def test_what_is_drawn_is_what_is_drawn_without_copies(config, tmp_path):
    images = {}
    for copies in (0, COPIES):
        made = config(f"store.url={tmp_path / str(copies)}", copies=copies)
        build(made, run_units, log=lambda line: None)
        shots, _ = shots_of(made)
        release = load_release(made, release_store(made))
        images[copies] = [release.draw(one) for one in shots if one.image >= COPIES]
    for plain, beside in zip(images[0], images[COPIES], strict=True):
        assert np.array_equal(plain, beside)


def test_a_copy_is_asked_for_once_and_then_drawn(config):
    """Also of reserves, whose first round has a later number."""
    made = config("plan.on_shortfall=replace", "plan.reserve_fraction=.5", "plan.min_images=5")
    build(made, run_units, log=lambda line: None)
    store = release_store(made)
    plan, roster = open_plan(store)
    index = roster.identities[0].index
    for attempt in range(3 * plan.request.plan.max_rounds):
        (one,) = plan_shots(plan.request, [(index, 0)], roster, attempt)
        assert bool(one.original) == (attempt % plan.request.plan.max_rounds == 0)
    (beyond,) = plan_shots(plan.request, [(index, COPIES)], roster, 0)
    assert not beyond.original


def test_a_rejected_copy_is_drawn_instead(config, monkeypatch):
    def refuse_copies(scores, made):
        return Verdict(scores.own_cosine < 0.9999, "copy")

    monkeypatch.setattr(maker, "apply_filters", refuse_copies)
    made = config()
    build(made, run_units, log=lambda line: None)
    store = release_store(made)
    _, plan = shots_of(made)
    kept = [row for row, _ in iterate_kept(store, plan)]
    assert not any(row["original"] for row in kept)
    body = json.loads(store.get(layout.MANIFEST))
    assert body["counts"]["reasons"]["copy"] == 3 * COPIES


def test_other_inquiry_images_than_planned_are_refused(config, people, tmp_path):
    made = config()
    build(made, run_units, log=lambda line: None)
    other = tmp_path / "other"
    shutil.copytree(people, other)
    next(other.glob("*/*.png")).unlink()
    with pytest.raises(IntegrityError, match=r"^identities\.inquiry: .* holds other faces than"):
        load_release(config(f"identities.inquiry={other}"), release_store(made))


def test_similarity_is_asked_of_what_is_drawn_alone(config):
    made = config()
    build(made, run_units, log=lambda line: None)
    plan, roster = open_plan(release_store(made))
    sampler = replace(plan.request.sampler, similarity=(0.5,))
    request = replace(plan.request, sampler=sampler)
    index = roster.identities[0].index
    shots = plan_shots(request, [(index, image) for image in range(EACH)], roster, 0)
    assert [s.similarity for s in shots] == [None] * COPIES + [0.5] * (EACH - COPIES)


def test_batches_of_copies_alone_and_of_none():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    inquiry = FaceSet(pixels, np.arange(3), ["a", "b", "c"], ["a", "b", "c"], [])
    source = Source(inquiry)
    shape = replace(SHAPE, channels=3)
    generator = generator_of(checkpoint_of(shape))
    copies = InquiryCopies(generator, source)
    alone = copies.generate([shot(1, original="c")], 3)
    assert np.array_equal(alone.images_BHWC[1], pixels[2])
    assert not alone.images_BHWC[[0, 2]].any()
    drawn = [replace(shot(slot), identity=0) for slot in (0, 2)]
    plain = generator.generate(drawn, 3).images_BHWC
    assert np.array_equal(copies.generate(drawn, 3).images_BHWC, plain)
    mixed = [drawn[0], shot(1, original="a"), drawn[1]]
    images = copies.generate(mixed, 3).images_BHWC
    assert np.array_equal(images[[0, 2]], plain[[0, 2]])
    assert np.array_equal(images[1], pixels[0])
    values = copies.unrounded(mixed, 3)
    assert np.array_equal(to_uint8(torch.from_numpy(values)), images)
    assert np.array_equal(copies.unrounded(drawn, 3), generator.unrounded(drawn, 3))
    assert copies.remarks == []


class Source:
    """Faces one by one, as sources give them."""

    def __init__(self, faces):
        self.faces, self.keys = faces, faces.keys

    def __getitem__(self, row):
        return SourceFace(self.faces.images_NHWC[row], row, self.keys[row])
