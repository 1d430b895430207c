"""Which image each inquiry identity is the embedding of, whatever the gate refuses."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import ConfigError
from factory.identities.gate import admit
from factory.identities.inquiry import InquiryPool, inquiry_source
from factory.identities.people import People
from factory.identities.roster import Roster
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.records import Identity
from factory.sources import open_source, read_faces

ITEMS = ("identities.proposal=inquiry", "identities.num_virtual=3")
MADE = "identities.inquiry_real_people=false"


@pytest.mark.parametrize("block", [1, 2, 5, 64])
def test_the_key_is_that_of_the_accepted_embedding(block):
    """Of 40 random ones with some near copies, in blocks of any size."""
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(40, 6))
    unit[[0, 3, 11, 12, 13]] = [1.0, 0, 0, 0, 0, 0]  # too near to somebody real
    unit[20] = unit[5]
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    pool = InquiryPool("inquiry", unit, tuple(f"key{i}" for i in range(40)))
    real = np.eye(6, dtype=np.float32)[:1]
    limits = {"num_identities": 8, "max_cosine": 0.6, "max_attempts": 9}
    admitted = admit(pool, real, block=block, **limits)
    found = [int(np.argmax(unit @ vector)) for vector in admitted.unit_ND]
    assert pool.keys_of(admitted.attempts) == [(f"key{row}",) for row in found]
    assert found[0] > 0


def test_a_roster_keeps_the_images_only_where_they_are_copied(release_config, people):
    def roster(*items):
        config = release_config(*ITEMS, f"identities.inquiry={people}", *items)
        source = open_source(config.source)
        return build_roster(config, open_recognizer(config), source, 0.99999)

    plain, copied = roster(), roster(MADE, "identities.inquiry_copies=1")
    assert "originals" not in plain.people.table().column_names
    assert np.array_equal(plain.unit_ND, copied.unit_ND)
    faces = read_faces(open_source(release_config().source), 0.0)
    recognizer = open_recognizer(release_config())
    for identity, unit in zip(copied.identities, copied.unit_ND, strict=True):
        (key,) = identity.originals
        row = faces.keys.index(key)
        np.testing.assert_allclose(recognizer.embed(faces.images_NHWC[[row]])[0], unit, atol=1e-5)
    again = Roster.read(copied.parquet(), copied.embeddings())
    assert again.identities == copied.identities


def test_images_of_people_who_may_exist_are_not_copied(release_config, people):
    items = (*ITEMS, f"identities.inquiry={people}", "identities.inquiry_copies=1")
    for further in ([], ["identities.inquiry_real_people=true"]):
        with pytest.raises(
            ConfigError, match=r"^identities\.inquiry_copies: got 1 for images of p"
        ):
            preflight(release_config(*items, *further))
    assert len(inquiry_source(release_config(*items, MADE))) == 12


def test_a_statement_of_the_source_says_nothing_of_the_inquiry(release_config, people):
    """source.real_people is told of the source alone."""
    items = (*ITEMS, f"identities.inquiry={people}", "identities.inquiry_copies=1")
    with pytest.raises(ConfigError, match=r"^identities\.inquiry_copies"):
        preflight(release_config(*items, "source.real_people=false"))


def test_a_virtual_identity_has_no_private_key():
    """Beside real people whose keys are private."""
    virtual = Identity(0, "virtual", "inquiry", 0, 0.0, 0.0, 2, originals=("a/0",))
    roster = Roster(People.of([virtual]), np.zeros((1, 4), np.float32))
    assert roster.keys_of(virtual) == {"a/0": "a/0"}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["identities.inquiry_copies=2"], r"^identities\.inquiry_copies: got 2 with .*prototypes"),
        (
            [*ITEMS, "identities.inquiry=x", "identities.inquiry_copies=2"],
            r"^identities\.inquiry_copies: got 2 of plan\.images_per_identity=2 images",
        ),
    ],
)
def test_copies_that_cannot_be_are_refused(release_config, items, said):
    with pytest.raises(ConfigError, match=said):
        release_config(*items)
