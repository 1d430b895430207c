"""Licenses are ordered as sets of terms; the whole table is tried against itself."""

from itertools import combinations, combinations_with_replacement, product

import pytest

from factory.errors import ConfigError
from factory.provenance.licenses import (
    LICENSES,
    allows,
    families,
    find,
    hub_id,
    join,
    outside,
    plain_class,
    terms_of,
    wanted,
)

IDS = sorted(LICENSES)


def allowed(text: str) -> set[str]:
    """Every license of the table under which a work under another may be released."""
    return {stated for stated in IDS if allows(terms_of(text), stated)}


def test_a_joint_licence_is_commutative_idempotent_and_never_wider_than_a_member():
    each = {one: allowed(one) for one in IDS}
    for a, b in combinations_with_replacement(IDS, 2):
        both = join([a, b])
        assert both == join([b, a]) == join([both]) == join([both, a]), (a, b)
        assert terms_of(both) == terms_of(a) | terms_of(b), (a, b)
        assert allowed(both) <= each[a] & each[b], (a, b)


def test_a_joint_licence_is_associative():
    some = ["mit", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"]
    some += ["openrail", "research-only", "unknown", "cc-by-nd-4.0", "odbl-1.0", "share-alike"]
    for a, b, c in product(some, some, some):
        assert join([join([a, b]), c]) == join([a, join([b, c])]) == join([a, b, c])


def test_a_further_source_never_lets_a_licence_be_granted_that_was_refused():
    """Of one licence and of two, against one and two that a release states."""
    each = {terms_of(one): one for one in IDS}
    some = [one for one in each.values() if not one.endswith(("2.0", "2.5")) or "cc" not in one]
    stated = [*some, *map(" AND ".join, combinations(some, 2))]
    alone = {one: {text for text in stated if allows(terms_of(one), text)} for one in some}
    for a, b in combinations(some, 2):
        together = terms_of(a) | terms_of(b)
        both = {text for text in stated if allows(together, text)}
        assert both <= alone[a] & alone[b], (a, b)
        assert "private" in both
        for c in some:
            more = together | terms_of(c)
            assert {text for text in some if allows(more, text)} <= both, (a, b, c)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("cc-by-4.0", "cc0-1.0"),
        ("cc-by-4.0", "MIT"),
        ("CC-BY-SA-4.0", "CC-BY-4.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-4.0", "share-alike"),
        ("CC-BY-SA-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-SA-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0"),
        ("research-only", "CC-BY-NC-4.0"),
        ("research-only", "mit"),
        ("openrail++", "CC-BY-4.0"),
        ("unknown", "research-only"),
        ("unknown", "unknown AND MIT"),
        ("research-only", "unknown AND MIT"),
        ("MIT", "CC0-1.0"),
        ("Apache-2.0", "Unlicense"),
        ("BSD-3-Clause", "PDDL-1.0"),
    ],
)
def test_a_licence_that_is_wider_is_not_allowed(narrow, wide):
    assert not allows(terms_of(narrow), wide)
    assert allows(terms_of(narrow), narrow) or narrow == "unknown"


@pytest.mark.parametrize(
    ("of", "stated"),
    [
        ("CC0-1.0", "mit"),
        ("mit", "apache-2.0"),
        ("cc-by-2.0", "CC-BY-4.0"),
        ("CC-BY-SA-3.0", "CC-BY-SA-4.0"),
        ("share-alike", "CC-BY-SA-4.0"),
        ("CC-BY-NC-4.0", "research-only"),
        ("openrail", "creativeml-openrail-m"),
        ("unknown", "unknown"),
        ("unknown", "other"),
        ("research-only", "other"),
        ("research-only", "unknown AND other"),
        ("MIT", "CC-BY-4.0"),
        ("MIT", "permissive"),
        ("Apache-2.0", "CC-BY-SA-4.0"),
        ("share-alike AND non-commercial", "CC-BY-NC-SA-4.0"),
    ],
)
def test_a_licence_that_is_as_narrow_is_allowed(of, stated):
    assert allows(terms_of(of), stated)


@pytest.mark.parametrize(
    "text",
    [
        "CC-BY-ND-4.0",
        "CC-BY-SA-4.0 AND CC-BY-NC-SA-4.0",
        "ODbL-1.0 AND CC-BY-SA-4.0",
        "CC-BY-SA-4.0 AND CC-BY-NC-4.0",
        "CC-BY-SA-3.0 AND openrail++",
        "CC-BY-SA-4.0 AND research-only",
        "CC-BY-SA-4.0 AND non-commercial",
        "CC-BY-NC-SA-4.0 AND research-only",
        "CC-BY-NC-SA-4.0 AND openrail",
        "ODbL-1.0 AND CC-BY-NC-4.0 AND unknown",
    ],
)
def test_a_licence_without_derivatives_or_beside_a_share_alike_lets_nothing_be_passed_on(text):
    assert allowed(text) == {"private"}
    assert wanted(terms_of(text)) == ["private"]
    assert not allows(terms_of(text), text)


@pytest.mark.parametrize(
    "text",
    [
        "CC-BY-SA-4.0 AND MIT AND CC-BY-4.0",
        "CC-BY-SA-3.0 AND CC-BY-SA-2.0 AND share-alike",
        "CC-BY-NC-SA-4.0 AND CC-BY-NC-4.0",
        "CC-BY-NC-SA-4.0 AND share-alike AND non-commercial",
        "ODbL-1.0 AND ODC-By-1.0",
    ],
)
def test_a_share_alike_licence_takes_in_what_it_asks_for_itself(text):
    (family,) = families(terms_of(text))
    assert not outside(terms_of(text), family)
    assert allows(terms_of(text), find(text)[0].id)


def test_plain_share_alike_names_no_licence_so_that_one_with_both_may_be_meant():
    both = terms_of("share-alike AND non-commercial")
    assert plain_class(both) == "share-alike and non-commercial"
    assert families(both) == []
    assert not allows(both, "CC-BY-SA-4.0")
    assert not allows(both, "CC-BY-NC-4.0")
    assert allows(both, "CC-BY-NC-SA-4.0")
    assert plain_class(terms_of("CC-BY-SA-4.0 AND CC-BY-NC-4.0")) == "private"


def test_a_licence_keeps_only_what_decides():
    assert join(["mit", "cc-by-4.0", "CC-BY-NC-4.0"]) == "CC-BY-NC-4.0"
    assert join(["MIT", "apache-2.0"]) == "Apache-2.0 AND MIT"
    assert join([]) == "permissive"


def test_a_licence_that_nobody_knows_is_one_line_that_lists_those_that_are():
    with pytest.raises(
        ConfigError, match=r"^source\.license: got 'gnu'; want one of permissive"
    ) as e:
        find("gnu", "source.license")
    assert "CC-BY-4.0" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("CC-BY-4.0", "cc-by-4.0"),
        ("research-only", "other"),
        ("unknown", "unknown"),
        ("MIT AND Apache-2.0", "other"),
        ("ODbL-1.0", "odbl"),
        ("openrail++", "openrail++"),
        ("CC-BY-ND-3.0", "other"),
    ],
)
def test_the_hub_is_told_a_licence_by_its_own_name(licence, name):
    assert hub_id(licence) == name
