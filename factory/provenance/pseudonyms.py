"""Pseudonyms of real people: stable for whoever has the key, meaningless to everybody else.

A pseudonym is the HMAC-SHA256 of a name under a key that only ever comes from the environment, so
neither a release nor a log tells who is in it, and the owner of the key finds a person again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re

from factory.errors import ConfigError

KEY_VARIABLE = "FACE_FACTORY_PSEUDONYM_KEY"
MIN_KEY_CHARS = 16
DIGITS = 20
"""Hexadecimal digits of a pseudonym: 80 bits, so that no two of a billion people share one."""


FORM = re.compile(rf"p[0-9a-f]{{{DIGITS}}}")


def pseudonym(key: bytes, name: str) -> str:
    """What a person of this name is called where the name may not stand: p and 20 digits."""
    return "p" + hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:DIGITS]


def is_pseudonym(name: str) -> bool:
    """Whether a name is one that `pseudonym` gives, as those in a release of pseudonyms are."""
    return FORM.fullmatch(name) is not None


def key_from_environment() -> bytes:
    """The key of pseudonyms; raises ConfigError where there is none, or a short one."""
    key = os.environ.get(KEY_VARIABLE, "")
    if len(key) < MIN_KEY_CHARS:
        raise ConfigError(
            f"release.pseudonyms: {KEY_VARIABLE} has {len(key)} characters; real people are called "
            f"by pseudonyms under a key of at least {MIN_KEY_CHARS} in it (python -c 'import "
            "secrets; print(secrets.token_hex(32))' makes one; keep it, it tells who is who), or "
            "set release.pseudonyms=names where names may be published"
        )
    return key.encode()


def key_in_environment() -> bytes | None:
    """The key of pseudonyms where there is a usable one, for those who can do without."""
    key = os.environ.get(KEY_VARIABLE, "")
    return key.encode() if len(key) >= MIN_KEY_CHARS else None
