"""boto3 clients of a config: retries, addressing, and what is sent along with every request."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from factory.config import StoreConfig
from factory.errors import ConfigError

_making = threading.Lock()


def _new_lock() -> None:
    """In a fork, where nobody lives who could release the old one."""
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


class Clients:
    """boto3 clients of this process.

    A fork or a pickled copy makes its own: two processes on one connection would read each other's
    answers.
    """

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._made: dict[tuple[int, int], Any] = {}
        self.num_retries = 0

    def trying(self, attempts: int) -> Any:
        """The client that tries each request up to `attempts` times."""
        key = (os.getpid(), attempts)
        if key in self._made:
            return self._made[key]
        with _making:  # because it takes .1 s, and many threads may come at once
            if key not in self._made:
                client = make_client(self._config, attempts)
                client.meta.events.register("after-call.s3", self._count)
                self._made[key] = client
        return self._made[key]

    def _count(self, parsed: dict[str, Any], **_: Any) -> None:
        self.num_retries += int(parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0))

    def __getstate__(self) -> dict[str, Any]:
        return {"_config": self._config, "_made": {}, "num_retries": 0}


def make_client(config: StoreConfig, attempts: int) -> Any:
    """A boto3 client that tries each request up to `attempts` times; raises ConfigError."""
    import boto3
    from botocore.config import Config as BotoConfig
    from botocore.exceptions import BotoCoreError

    if config.ca_bundle and not Path(config.ca_bundle).is_file():
        raise ConfigError(
            f"store.ca_bundle: no such file {config.ca_bundle!r}; want certificates as PEM"
        )
    settings = BotoConfig(
        retries={"mode": "adaptive", "total_max_attempts": attempts},
        connect_timeout=min(10.0, config.timeout_s),
        read_timeout=config.timeout_s,
        max_pool_connections=16,
        proxies={"http": config.proxy, "https": config.proxy} if config.proxy else None,
        # because every write bears its sha256, which the signature covers: once is enough
        s3={
            "payload_signing_enabled": False,
            "addressing_style": "path" if config.path_style else config.addressing_style,
        },
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",  # because verify hashes every byte itself
    )
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=config.endpoint_url,
            region_name=config.region,
            verify=config.ca_bundle,
            config=settings,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"store: {error}; check store.endpoint_url, store.region and AWS_PROFILE"
        ) from None
    sent_along = request_settings(config)

    def add(params: dict[str, Any], model: Any, **_: Any) -> None:
        known = model.input_shape.members
        params |= {name: value for name, value in sent_along.items() if name in known}

    client.meta.events.register("before-parameter-build.s3", add)
    return client


def request_settings(config: StoreConfig) -> dict[str, Any]:
    """Parameters that each operation gets that knows them, by S3's names."""
    encryption = {"s3": "AES256", "kms": "aws:kms"}.get(config.encryption or "")
    settings = {
        "ServerSideEncryption": encryption,
        "SSEKMSKeyId": config.kms_key_id,
        "BucketKeyEnabled": config.bucket_key or None,
        "StorageClass": config.storage_class,
        "RequestPayer": "requester" if config.requester_pays else None,
        "ExpectedBucketOwner": config.bucket_owner,
    }
    return {name: value for name, value in settings.items() if value is not None}
