"""Rosters by each proposal, from a config."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from factory.errors import ConfigError, SourceError
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.sources import open_source, read_faces

LIMIT = 0.999


@pytest.fixture
def roster(release_config):
    def make(proposal, *items, limit=LIMIT):
        config = release_config(f"identities.proposal={proposal}", *items)
        source = open_source(config.source)
        return build_roster(config, open_recognizer(config), source, limit)

    return make


@pytest.mark.parametrize("proposal", ["prototypes", "colored", "pca", "packing"])
def test_every_proposal_fills_a_roster_twice_alike(roster, proposal):
    first, second = roster(proposal), roster(proposal)
    assert np.array_equal(first.unit_ND, second.unit_ND)
    assert [identity.proposal for identity in first.identities] == [proposal] * 6
    assert all(identity.nearest_real_cosine < LIMIT for identity in first.identities)
    np.testing.assert_allclose(np.linalg.norm(first.unit_ND, axis=1), 1, atol=1e-5)


def test_packed_people_are_further_apart_than_drawn_ones(roster):
    drawn, packed = roster("pca"), roster("packing", "identities.packing_pull=0")
    largest = [
        max(identity.nearest_other_cosine for identity in r.identities) for r in (drawn, packed)
    ]
    assert largest[1] < largest[0]


def test_a_roster_read_back_is_the_one_written(roster):
    made = roster("packing")
    again = type(made).read(made.parquet(), made.embeddings())
    assert again.identities == made.identities
    assert np.array_equal(again.unit_ND, made.unit_ND)


def test_inquiry_takes_the_embeddings_of_given_faces_in_order(roster, release_config, people):
    items = (f"identities.inquiry={people}", "identities.num_virtual=2")
    made = roster("inquiry", *items, limit=0.9999)
    recognizer = open_recognizer(release_config())
    faces = read_faces(open_source(release_config().source), 0.0)
    unit = recognizer.embed(faces.images_NHWC)
    rows = [int((unit @ vector).argmax()) for vector in made.unit_ND]
    assert rows == sorted(rows)
    np.testing.assert_allclose(made.unit_ND, unit[rows], atol=1e-5)


def test_inquiry_names_its_faces_in_the_plan_and_wants_enough_of_them(release_config, people):
    items = ["identities.proposal=inquiry", f"identities.inquiry={people}"]
    inputs = preflight(release_config(*items))
    request = inputs.request
    assert [one.role for one in inputs.lineage.sources] == ["source", "inquiry"]
    assert request.identities.inquiry == open_source(release_config().source).fingerprint
    with pytest.raises(SourceError, match=r"identities\.inquiry: .* has 12 images for 40"):
        preflight(release_config(*items, "identities.num_virtual=40"))
    with pytest.raises(ConfigError, match=r"identities\.inquiry: got None with .*=inquiry"):
        release_config("identities.proposal=inquiry")


def test_a_release_tells_what_its_source_leaves_out(release_config, people, tmp_path):
    shutil.copytree(people, tmp_path / "people")
    (tmp_path / "people" / "notes.txt").write_text("x")
    inputs = preflight(release_config(f"source.path={tmp_path / 'people'}"))
    assert [line for line in inputs.remarks if line.startswith("1 left out: files that are no")]
