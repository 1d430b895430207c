"""People are called by pseudonyms where somebody real is drawn, and by names else."""

from __future__ import annotations

import pytest

from factory.errors import ConfigError
from factory.provenance.naming import Naming, naming_of, people_naming, release_naming
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym

KEY = "0123456789abcdef"
KEYED = Naming(KEY.encode())


def test_a_naming_with_a_key_gives_pseudonyms_of_people_and_numbers_of_images():
    called = pseudonym(KEY.encode(), "Anna")
    assert (KEYED.mode, Naming().mode) == ("keyed", "names")
    assert (KEYED.of("Anna"), Naming().of("Anna")) == (called, "Anna")
    assert KEYED.keys("Anna", ["Anna/x", "Anna/y"]) == (f"{called}/0000", f"{called}/0001")
    assert Naming().keys("Anna", ["Anna/x"]) == ("Anna/x",)
    assert KEY not in repr(KEYED)


def test_a_pseudonym_of_a_source_stays_so_that_a_person_has_one_everywhere():
    called = KEYED.of("Anna")
    assert Naming(b"another key of people").of(called) == called
    assert KEYED.of("p" + "g" * 20) != "p" + "g" * 20  # no pseudonym: not hexadecimal


def test_a_pseudonym_key_is_asked_for_where_real_people_are_drawn(release_config, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    keyed = "release.pseudonyms=keyed"
    drawn = [keyed, "plan.fill_to=5", "release.allow_real=true"]
    assert release_naming(release_config(keyed)) == Naming()  # nobody of the source is drawn
    assert release_naming(release_config("plan.fill_to=5", "release.allow_real=true")) == Naming()
    assert release_naming(release_config(*drawn, "source.real_people=false")) == Naming()
    for ask in (release_naming, people_naming):
        with pytest.raises(ConfigError, match=rf"^release\.pseudonyms: {KEY_VARIABLE} has 0"):
            ask(release_config(*drawn))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert release_naming(release_config(*drawn)) == KEYED == naming_of("keyed")
    assert people_naming(release_config(keyed)) == KEYED
