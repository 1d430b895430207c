"""Where releases live: a local folder and an object store behind one interface."""

from __future__ import annotations

from factory.config import StoreConfig
from factory.errors import ConfigError
from factory.store.base import Entry, Store
from factory.store.local import LocalStore

__all__ = ["Entry", "LocalStore", "Store", "open_store", "open_url"]


def open_store(config: StoreConfig) -> Store:
    """The store of a config: s3://bucket/prefix, or a local folder. Nothing is contacted yet."""
    if config.url.startswith("s3://"):
        from factory.store.s3 import S3Store

        return S3Store.open(config)
    if "://" in config.url:
        raise ConfigError(
            f"store.url: got {config.url!r}; want a local folder or s3://bucket/prefix"
        )
    return LocalStore(config.url)


def open_url(url: str) -> Store:
    """The store at a URL with default settings (an endpoint comes from AWS_ENDPOINT_URL).

    Raises StoreError when it cannot be reached.
    """
    store = open_store(StoreConfig(url=url))
    store.preflight(0, 0)
    return store
