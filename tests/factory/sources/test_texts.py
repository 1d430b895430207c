"""Texts in arrays are the texts of a list, without a Python object for each."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from factory.sources import texts
from factory.sources.texts import NumberedKeys, Taken, Texts, texts_sha256

WORDS = ["b", "äöü", "", "a b"]


def test_texts_are_those_of_a_list():
    lazy = Texts(np.array([word.encode() for word in WORDS]))
    assert lazy == WORDS
    assert WORDS == list(lazy)
    assert lazy != WORDS[::-1]
    assert lazy != [*WORDS, "x"]
    assert lazy != "text"
    assert (lazy[-1], lazy[1], len(lazy)) == ("a b", "äöü", 4)
    assert lazy[1:3] == WORDS[1:3]
    assert lazy[::-2] == WORDS[::-2]
    assert "äöü" in lazy
    assert "c" not in lazy
    assert lazy.index("a b") == 3
    assert Taken(lazy, np.array([3, 0])) == ["a b", "b"]
    for outside in (4, -5):
        with pytest.raises(IndexError):
            lazy[outside]


def test_keys_are_made_of_the_numbers_of_identity_and_image():
    numbers, labels = np.array([12, 1_234_567]), np.array([0, 1, 1])
    keys = NumberedKeys(numbers, labels, np.array([3, 0, 12345]), (6, 4))
    assert keys == ["000012_0003", "1234567_0000", "1234567_12345"]


def test_the_digest_is_that_of_the_joined_texts(monkeypatch):
    parts = (["a", "", "bc"], [], ["d"] * 5)
    wanted = hashlib.sha256("\n".join([text for part in parts for text in part]).encode())
    for block in (1, 2, 3, 100):
        monkeypatch.setattr(texts, "AT_ONCE", block)
        assert texts_sha256(*parts).hexdigest() == wanted.hexdigest()
    assert texts_sha256([]).hexdigest() == hashlib.sha256(b"").hexdigest()
