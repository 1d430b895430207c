"""What preflight says of the room for people: which line, which limit, and when it stays silent."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from factory.errors import PlanError
from factory.identities.capacity import Capacity
from factory.identities.packing import smallest_possible_cosine
from factory.identities.roster_building import class_centers, open_recognizer
from factory.planning import gate_limit
from factory.planning.plan_writer import describe, write_plan
from factory.planning.preflight import preflight
from factory.recognition.embed import Recognizer
from factory.shards.layout import release_store
from factory.sources import open_source

RECOGNIZER = {
    "metrics": {"heldout": {"cosine_at_fmr_1e-3": 0.5, "genuine_mean": 0.97}},
    "config": {"embedding_dim": 16, "real_names": ["a"] * 4},
}
LINE = (
    r"identities\.num_virtual: got (\d+); identities\.max_cosine=(\S+) has room for about (\d+) "
    r"people \(standard error (\d+)%\), until one is refused identities\.max_attempts=(\d+) times "
    r"in a row; want at most (\d+), or identities\.max_cosine=(\S+), which auto \(null\) takes"
)


def spread_people(seed: int = 0) -> np.ndarray:
    """Centers of 60 people in 12 dimensions."""
    rows = np.random.default_rng(seed).normal(size=(60, 16)) * (np.arange(16) < 12)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def crowded(release_config, monkeypatch):
    """Function of dotlist items -> the limit of a pca release among 60 spread people."""
    monkeypatch.setattr(gate_limit, "FEW_PEOPLE", 0)
    monkeypatch.setattr(gate_limit, "NUM_PROPOSALS", 1500)
    monkeypatch.setattr(gate_limit, "sampled_centers", lambda recognizer, source: spread_people())

    def settle(*items: str, num_earlier: int = 0, recognizer=RECOGNIZER) -> gate_limit.Limit:
        config = release_config("identities.proposal=pca", *items)
        return gate_limit.settle_limit(config, recognizer, open_source(config.source), num_earlier)

    return settle


def test_a_recognizer_of_one_held_out_person_needs_a_limit(crowded):
    heldout = {"cosine_at_fmr_1e-3": None, "genuine_mean": 0.9, "note": "n/a: no impostor pairs"}
    recognizer = RECOGNIZER | {"metrics": {"heldout": heldout}}
    with pytest.raises(PlanError) as error:
        crowded("identities.num_virtual=2", recognizer=recognizer)
    assert str(error.value) == (
        "identities.max_cosine: auto needs the recognizer's cosine at FMR 1e-3, but its held-out "
        "people gave none (n/a: no impostor pairs); set identities.max_cosine"
    )


def test_a_fixed_limit_that_is_too_low_is_one_line_with_its_remedy(crowded):
    with pytest.raises(PlanError) as error:
        crowded("identities.num_virtual=20000", "identities.max_cosine=.6")
    found = re.fullmatch(LINE, str(error.value))
    assert found, str(error.value)
    wanted, limit, people, percent, attempts, surely, allowed = map(float, found.groups())
    assert (wanted, limit, attempts) == (20000, 0.6, 1000)
    assert 50 < surely < people < 3000
    assert 20 <= percent < 80
    remedy = crowded("identities.num_virtual=20000", f"identities.max_cosine={allowed}")
    assert remedy.max_cosine == allowed
    assert remedy.capacity.surely >= 20000
    fewer = f"identities.num_virtual={int(surely)}"
    assert crowded(fewer, "identities.max_cosine=.6").max_cosine == 0.6
    assert crowded("identities.num_virtual=20000").max_cosine == allowed  # auto


def test_a_fixed_limit_is_refused_only_where_the_people_surely_do_not_fit(crowded):
    found = crowded("identities.num_virtual=2", "identities.max_cosine=.6").capacity
    likely, unlikely = int(1.2 * found.people), int(1.1 * found.at_most)
    fits = crowded(f"identities.num_virtual={likely}", "identities.max_cosine=.6")
    assert fits.capacity == found
    with pytest.raises(PlanError, match=f"got {unlikely}; "):
        crowded(f"identities.num_virtual={unlikely}", "identities.max_cosine=.6")


def test_auto_is_the_recognizers_own_limit_for_few_people_and_grows_with_more(crowded):
    limits = [
        crowded(f"identities.num_virtual={people}").max_cosine for people in (2, 10, 10**3, 10**5)
    ]
    assert limits[0] == limits[1] == 0.5
    assert 0.5 < limits[2] < limits[3] < 0.97


def test_auto_counts_the_people_of_earlier_releases_and_real_ones(crowded, monkeypatch):
    alone = crowded("identities.num_virtual=1000").max_cosine
    assert crowded("identities.num_virtual=1000", num_earlier=3000).max_cosine > alone
    more = [gate_limit.RealPeople(3000, spread_people(1))]
    monkeypatch.setattr(gate_limit, "_gallery_people", lambda config: more)
    assert crowded("identities.num_virtual=1000").max_cosine > alone


def test_proposals_of_another_group_count_as_attempts(crowded, monkeypatch):
    config = {"attributes": "groups.csv", "quotas": {"a": 0.5, "b": 0.5}}
    plain = crowded("identities.num_virtual=1000").max_cosine
    before = gate_limit._with_capacity

    def with_groups(config_, *rest):
        identities = dataclasses.replace(config_.identities, **config)
        return before(dataclasses.replace(config_, identities=identities), *rest)

    monkeypatch.setattr(gate_limit, "_with_capacity", with_groups)
    assert crowded("identities.num_virtual=1000").max_cosine > plain


def test_no_limit_makes_different_people_as_alike_as_two_images_of_one(crowded):
    alike = {"cosine_at_fmr_1e-3": 0.5, "genuine_mean": 0.7}
    recognizer = RECOGNIZER | {"metrics": {"heldout": alike}}
    for limit in ("null", ".6"):
        with pytest.raises(PlanError, match=r"one person are on average \(0\.700\); want at most"):
            crowded(
                "identities.num_virtual=100000",
                f"identities.max_cosine={limit}",
                recognizer=recognizer,
            )


def test_a_space_that_is_full_of_real_people_has_room_for_nobody(crowded):
    with pytest.raises(
        PlanError, match=r"=-0\.500 has room for nobody beside .* want identities\."
    ):
        crowded("identities.num_virtual=100", "identities.max_cosine=-.5")


def test_auto_needs_heldout_people(crowded):
    with pytest.raises(PlanError, match=r"auto needs the recognizer's cosine at FMR 1e-3"):
        crowded(recognizer=RECOGNIZER | {"metrics": {}})


def test_few_people_are_left_to_the_gate_itself(crowded, monkeypatch):
    monkeypatch.setattr(gate_limit, "FEW_PEOPLE", 6 + 4 + 4)
    monkeypatch.setattr(gate_limit, "sampled_centers", None)  # nothing is embedded
    few = crowded("identities.num_virtual=6", "identities.max_cosine=-.5")
    assert few == gate_limit.Limit(-0.5)
    with pytest.raises(TypeError):
        crowded("identities.num_virtual=7", "identities.max_cosine=-.5")


@pytest.mark.parametrize("proposal", ["prototypes", "packing"])
def test_a_pool_is_refused_only_what_no_packing_can_keep(crowded, proposal):
    items = (f"identities.proposal={proposal}", "identities.num_virtual=9")
    assert crowded(*items) == gate_limit.Limit(0.5)
    with pytest.raises(PlanError, match=r"9 people cannot all stay below .*=-0\.150"):
        crowded(*items, "identities.max_cosine=-.15")


def test_packed_people_stay_in_the_dimensions_of_their_proposals(crowded):
    """Four people of the source span four dimensions at most, whatever pca_dims is."""
    items = ("identities.proposal=packing", "identities.num_virtual=100")
    least = crowded(*items).max_cosine
    assert least == pytest.approx(smallest_possible_cosine(100, 4), abs=2.1e-3)
    assert 0.5 < least
    assert crowded(*items, f"identities.max_cosine={least}").max_cosine == least
    with pytest.raises(PlanError, match=r"in the 4 dimensions that they are proposed in"):
        crowded(*items, f"identities.max_cosine={least - 0.01}")
    with pytest.raises(PlanError, match=r"100000 people cannot all stay below"):
        crowded("identities.proposal=packing", "identities.num_virtual=100000")


def test_preflight_tells_what_it_found_and_a_begun_version_keeps_its_limit(
    release_config, monkeypatch
):
    config = release_config("identities.proposal=pca")
    asked = []

    def settled(*arguments):
        asked.append(arguments)
        return gate_limit.Limit(0.987, Capacity(1234.0, 0.25))

    monkeypatch.setattr("factory.planning.preflight.settle_limit", settled)
    inputs = preflight(config)
    assert inputs.request.max_cosine == 0.987
    assert "(max cosine 0.987, room for about 1200 people (standard error 25%))" in describe(
        config, inputs
    )
    write_plan(config, inputs, release_store(config))
    monkeypatch.setattr("factory.planning.preflight.settle_limit", None)
    assert preflight(config).request.max_cosine == 0.987
    assert len(asked) == 1


def test_centers_of_a_small_source_are_those_of_the_plan(release_config):
    config = release_config()
    recognizer, source = open_recognizer(config), open_source(config.source)
    expected, _ = class_centers(recognizer, source, 0.0)
    np.testing.assert_allclose(gate_limit.sampled_centers(recognizer, source), expected, atol=1e-6)


def test_of_a_large_source_the_first_images_of_some_people_are_embedded(monkeypatch):
    monkeypatch.setattr(gate_limit, "MAX_IMAGES", 10)
    monkeypatch.setattr(gate_limit, "MAX_IMAGES_EACH", 2)

    class Source:
        labels = np.repeat(np.arange(8), 3)[::-1]

        def __len__(self) -> int:
            return len(self.labels)

    chosen = gate_limit._chosen(Source())
    assert Source.labels[chosen].tolist() == [6, 6, 4, 4, 2, 2, 0, 0]
    assert chosen.tolist() == [3, 4, 9, 10, 15, 16, 21, 22]


def test_halves_that_differ_make_an_error(monkeypatch):
    people = spread_people()
    one, other = (gate_limit._drawn(people[first::2], 64, 0, 1000) for first in (0, 1))
    assert gate_limit._sampling_error(one, one) == 0
    narrow = gate_limit._drawn(people, 3, 0, 1000)
    assert gate_limit._sampling_error(one, narrow) > 2 * gate_limit._sampling_error(one, other)


def test_an_unreadable_image_is_left_to_planning(release_config, monkeypatch):
    config = release_config()
    source = open_source(config.source)

    class Torn(type(source)):
        def __getitem__(self, index):
            if index == 0:
                raise gate_limit.CorruptImageError("torn")
            return super().__getitem__(index)

    torn = open_source(config.source)
    torn.__class__ = Torn
    recognizer: Recognizer = open_recognizer(config)
    assert gate_limit.sampled_centers(recognizer, torn).shape == (4, 16)


def test_few_people_of_many_images_are_not_halved(crowded, monkeypatch):
    monkeypatch.setattr(gate_limit, "MAX_IMAGES", 1)
    monkeypatch.setattr(gate_limit, "sampled_centers", lambda *_: spread_people()[:5])
    assert crowded("identities.num_virtual=2").capacity.people > 0
