"""Pseudonyms: HMAC under a key from the environment."""

import pytest

from factory.errors import ConfigError
from factory.provenance.pseudonyms import KEY_VARIABLE, key_from_environment, pseudonym


def test_a_pseudonym_is_an_hmac_of_the_name():
    # echo -n Ada | openssl dgst -sha256 -hmac 0123456789abcdef
    assert pseudonym(b"0123456789abcdef", "Ada") == "p9bc245ae8032d0b6c5fc"
    assert pseudonym(b"0123456789abcdeg", "Ada") != pseudonym(b"0123456789abcdef", "Ada")


def test_a_missing_or_short_pseudonym_key_is_one_line_with_the_remedy(monkeypatch):
    for key in ("", "short"):
        monkeypatch.setenv(KEY_VARIABLE, key)
        with pytest.raises(ConfigError, match=KEY_VARIABLE):
            key_from_environment()
    monkeypatch.setenv(KEY_VARIABLE, "0123456789abcdef")
    assert key_from_environment() == b"0123456789abcdef"
