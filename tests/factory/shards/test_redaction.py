"""Errors say what people are called, whatever of their keys a message holds."""

from __future__ import annotations

import traceback

import numpy as np
import pytest

from factory.identities.private_people import NOBODY, PrivatePeople
from factory.identities.roster import Roster
from factory.records import Identity
from factory.shards.redaction import Redaction, redaction_of
from factory.shards.tracebacks import without_machine
from tests.planned import REQUEST, shots_of

KEYS = ("Anna Berg/holiday 3.png", "Anna Berg/7.png")
REDACT = Redaction.of_person("p01", "Anna Berg", KEYS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Anna Berg/holiday 3.png: not readable", "p01: not readable"),
        ("open /data/faces/Anna Berg/7.png", "open /data/faces/p01"),
        ("no face of 'Anna Berg'", "no face of 'p01'"),
        ("holiday 3.png and holiday 3", "p01 and p01"),
        ("line 7 of Annabergia", "line 7 of Annabergia"),
    ],
)
def test_a_pseudonym_stands_for_a_name_and_for_parts_of_keys(text, wanted):
    assert REDACT(text) == wanted


def test_numbers_and_short_names_stay_as_they_stand_for_much_else():
    assert Redaction.of_person("p01", "7", ["7/12", "7/ab"])("line 7, 12 of ab") == (
        "line 7, 12 of ab"
    )
    assert Redaction.of_person("p01", "7", ["7/12"])("key 7/12") == "key p01"


def test_nothing_is_replaced_where_names_are_published():
    assert Redaction.of_person("Anna Berg", "Anna Berg", KEYS).words == {}


def test_an_error_and_all_that_it_was_raised_from_lose_the_name():
    error = ValueError("bad Anna Berg", 3)
    error.__cause__ = FileNotFoundError(2, "no such file", "/faces/Anna Berg/7.png")
    REDACT.hide(error)
    assert error.args == ("bad p01", 3)
    assert str(error.__cause__) == "[Errno 2] no such file: '/faces/p01'"
    text = without_machine("".join(traceback.format_exception(error)))
    assert "ValueError: ('bad p01', 3)" in text


def test_people_of_a_batch_alone_are_looked_up():
    people = [
        Identity(i, "real", "source", 0, 0.1, 0.2, 1, name=f"p0{i}", originals=(f"p0{i}/0000",))
        for i in range(2)
    ]
    keys = (("Anna Berg/7.png",), ("Bo Ek/8.png",))
    private = PrivatePeople(np.eye(2, 4, dtype=np.float32), (0, 1), (1, NOBODY), keys)
    roster = Roster(people, private.unit_RD, private)
    (shot,) = shots_of(REQUEST, [(0, 0)])
    words = redaction_of([shot], roster, ["Other", "Anna Maria"]).words
    assert words == {
        "Anna Berg": "p00",
        "Anna Maria": "p00",
        "7.png": "p00/0000",
        "Anna Berg/7.png": "p00/0000",
    }
