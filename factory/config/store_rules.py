"""Rules of the section store: its address, and what its settings ask of each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from factory.config.addresses import check_address
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.release import StoreConfig

TAKEN_OFFLINE = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes whose objects cannot be read until they are restored."""


def check_store(store: StoreConfig) -> None:
    """Raise ConfigError for the first rule that does not hold."""
    check_address("store.url", store.url, store.endpoint_url)
    if store.kms_key_id and store.encryption != "kms":
        raise ConfigError(
            f"store.kms_key_id: got {store.kms_key_id!r} with store.encryption="
            f"{store.encryption or 'null'}; want store.encryption=kms, or null"
        )
    if store.bucket_key and store.encryption != "kms":
        raise ConfigError(
            f"store.bucket_key: got true with store.encryption={store.encryption or 'null'}; want "
            "store.encryption=kms, or false"
        )
    if store.storage_class and store.storage_class.upper() in TAKEN_OFFLINE:
        raise ConfigError(
            f"store.storage_class: got {store.storage_class!r}, whose objects cannot be read back "
            "at once; want one that can, such as STANDARD_IA or GLACIER_IR"
        )
    if store.bucket_owner and not re.fullmatch(r"\d{12}", store.bucket_owner):
        raise ConfigError(
            f"store.bucket_owner: got {store.bucket_owner!r}; want the 12 digits of an AWS account"
        )
    if store.path_style and store.addressing_style == "virtual":
        raise ConfigError(
            "store.addressing_style: got 'virtual' with store.path_style=true; want one of them"
        )
    for name in ("endpoint_url", "proxy"):
        address = getattr(store, name)
        if address and not re.match(r"https?://[^/\s]", address):
            shown = "an address" if "@" in address else repr(address)  # it may hold a password
            raise ConfigError(f"store.{name}: got {shown}; want http://... or https://...")
