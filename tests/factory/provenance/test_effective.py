"""The license of what descends from sources and networks, and the chain that makes it narrow."""

import re

import pytest

from factory.errors import ConfigError
from factory.provenance.effective import effective, narrowest, refuse_wider
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord

RECOGNIZER, GENERATOR, AUTOENCODER = (digit * 64 for digit in "123")


def source(license: str, attribution: str = "", **fields) -> SourceRecord:
    facts = {"kind": "folder", "fingerprint": license, "num_images": 9, "num_people": 3}
    return SourceRecord(
        **(facts | {"real_people": True, "license": license, "attribution": attribution} | fields)
    )


def lineage(of: str, planned: str = "CC0-1.0", **generator) -> Lineage:
    """A release planned with one source, whose recognizer learned from another."""
    facts = {"trained_with": {"autoencoder": AUTOENCODER, "recognizer": RECOGNIZER}}
    return Lineage(
        (source(planned),),
        (
            NetworkRecord("recognizer", RECOGNIZER, (source(of, "Ada"),)),
            NetworkRecord("autoencoder", AUTOENCODER, (), {"recognizer": RECOGNIZER}),
            NetworkRecord("generator", GENERATOR, (), **(facts | generator)),
        ),
    )


def test_a_wider_licence_is_refused_in_one_line_with_the_chain():
    with pytest.raises(ConfigError) as error:
        refuse_wider(lineage("research-only"), "mit")
    assert str(error.value) == (
        "release.license: mit is wider than research-only: source (research-only) -> recognizer "
        "111111 -> generator 222222; want research-only, other or unknown"
    )


@pytest.mark.parametrize("stated", ["research-only", "other", "unknown", "private"])
def test_a_licence_as_narrow_as_the_chain_passes(stated):
    refuse_wider(lineage("research-only"), stated)


def test_the_effective_licence_names_what_decides_and_all_credits():
    found = effective(lineage("CC-BY-4.0"))
    assert (found.license, found.plain, found.attributions) == (
        "CC-BY-4.0",
        "attribution",
        ("Ada",),
    )
    assert found.chain == "source (CC-BY-4.0) -> recognizer 111111 -> generator 222222"


def test_the_licence_of_the_source_itself_counts():
    with pytest.raises(ConfigError, match=re.escape("non-commercial: source (CC-BY-NC-4.0); want")):
        refuse_wider(lineage("CC0-1.0", planned="CC-BY-NC-4.0"), "cc-by-4.0")


def test_a_network_of_which_nothing_is_known_has_an_unknown_licence():
    unknown = lineage("CC0-1.0", is_told=False)
    with pytest.raises(ConfigError, match=re.escape("unknown: generator 222222 (unknown); want")):
        refuse_wider(unknown, "mit")
    refuse_wider(lineage("CC0-1.0", is_told=False, license="Apache-2.0"), "mit")


def test_two_share_alike_licences_are_refused_with_both_chains():
    with pytest.raises(ConfigError) as error:
        refuse_wider(lineage("CC-BY-SA-4.0", planned="CC-BY-NC-SA-4.0"), "other")
    line = str(error.value)
    for part in ("source (CC-BY-SA-4.0) -> recognizer 111111", "(CC-BY-NC-SA-4.0)", "want private"):
        assert part in line
    assert "\n" not in line


def test_a_licence_of_a_network_that_only_looks_does_not_count():
    judge = NetworkRecord("judge", "4" * 64, (), {}, is_told=False)
    seen = lineage("CC0-1.0")
    refuse_wider(Lineage(seen.sources, (*seen.networks, judge)), "mit")


def test_a_share_alike_and_what_it_excludes_are_refused_with_both_chains():
    with pytest.raises(ConfigError) as error:
        refuse_wider(lineage("CC-BY-SA-4.0", planned="openrail"), "other")
    assert str(error.value) == (
        "release.license: other is refused, since nothing may be passed on that is both "
        "share-alike: CC-BY-SA and use-restrictions: source (CC-BY-SA-4.0) -> recognizer 111111 -> "
        "generator 222222; source (openrail); want private, or leave one of them out"
    )


def test_a_notice_that_must_be_kept_is_no_public_domain():
    with pytest.raises(ConfigError, match=r"CC0-1.0 is wider than permissive: source \(MIT\)"):
        refuse_wider(lineage("MIT"), "CC0-1.0")
    refuse_wider(lineage("MIT"), "Apache-2.0")


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (["CC-BY-4.0", "MIT"], "CC-BY-4.0"),
        (["CC-BY-NC-4.0", "research-only", "MIT"], "research-only"),
        (["CC-BY-NC-4.0", "openrail"], "CC-BY-NC-4.0 AND openrail"),
        (["CC-BY-4.0", "other"], "other"),
        (["CC-BY-4.0", "unknown"], "unknown"),
        (["CC-BY-4.0", "private"], "private"),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], "private"),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], "private"),
        (["other", "other"], "other"),
    ],
)
def test_the_narrowest_common_licence_is_allowed_by_all(stated, found):
    for order in (stated, stated[::-1]):
        assert narrowest(order, lineage("CC0-1.0")) == found
    assert narrowest(stated, lineage("CC-BY-ND-4.0")) == "private"
    assert narrowest(stated, lineage("unknown")) in ("other", "unknown", "private")
