"""Where releases live: a local folder and an object store behind one interface."""

from __future__ import annotations

from collections.abc import Sequence

from factory.config import StoreConfig
from factory.config.addresses import in_bucket
from factory.config.loading import store_settings
from factory.config.store_rules import check_store
from factory.store.base import Entry, Store
from factory.store.local import LocalStore

__all__ = ["Entry", "LocalStore", "Store", "open_store", "open_url"]


def open_store(config: StoreConfig) -> Store:
    """The store of a config: s3://bucket/prefix, or a local folder. Nothing is contacted yet.

    Raises ConfigError for an address that is none, with the one that was probably meant.
    """
    check_store(config)
    if in_bucket(config.url):
        from factory.store.s3 import S3Store

        return S3Store.open(config)
    return LocalStore(config.url)


def open_url(url: str, settings: Sequence[str] = ()) -> Store:
    """The store at a URL; `settings` are as those of a release, `store.endpoint_url=http://...`.

    Without them an endpoint comes from AWS_ENDPOINT_URL. Raises ConfigError for settings or an
    address that are none, StoreError when the store cannot be reached.
    """
    store = open_store(store_settings(url, settings))
    store.preflight(0, 0)
    return store
