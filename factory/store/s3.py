"""A bucket prefix as a store: create-only by `If-None-Match: *`, compare-and-set by `If-Match`.

Requests that meet 503, resets or timeouts are tried again by botocore (adaptive, with jitter), 409
and answers that break off by us. A put whose answer was lost is tried again too and then meets its
own object: the digest tells it from somebody else's.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from factory.config import StoreConfig
from factory.errors import ConfigError, Conflict, StoreError
from factory.store.base import BLOCK_BYTES, Entry, check_name, digest

PREFLIGHT_ATTEMPTS = 3
"""Tries before work starts: a wrong endpoint should not take minutes to be named."""
PART_THREADS = 4
"""Parts of one object that are uploaded at once; each is copied while it is under way."""
ABSENT = {"404", "NoSuchKey", "NotFound"}
REMEDIES = {
    "NoSuchBucket": "create the bucket, or choose another",
    "AccessDenied": "allow these credentials to list, read and write the bucket",
    "AllAccessDisabled": "allow these credentials to list, read and write the bucket",
    "400": "check the credentials (an expired token is answered so) and store.region",
    "403": "check the credentials and what they may do",
    "InvalidAccessKeyId": "check the credentials of the AWS chain",
    "SignatureDoesNotMatch": "check the secret key of the AWS chain",
    "ExpiredToken": "renew the credentials",
    "InvalidToken": "renew the credentials",
    "PermanentRedirect": "set store.region to the bucket's",
    "AuthorizationHeaderMalformed": "set store.region to the bucket's",
    "MethodNotAllowed": "check store.endpoint_url",
}
"""What to do about an answer that no retry mends, by S3 error code."""


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
        if key not in self._made:
            self._made[key] = _client(self._config, attempts)
            self._made[key].meta.events.register("after-call.s3", self._count)
        return self._made[key]

    def _count(self, parsed: dict[str, Any], **_: Any) -> None:
        self.num_retries += int(parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0))

    def __getstate__(self) -> dict[str, Any]:
        return {"_config": self._config, "_made": {}, "num_retries": 0}


class S3Store:
    """Objects under a prefix of a bucket."""

    def __init__(self, clients: Clients, config: StoreConfig, url: str) -> None:
        self.url = url.rstrip("/")
        self._clients, self._config = clients, config
        self._bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self._prefix = prefix + "/" if prefix else ""

    @classmethod
    def open(cls, config: StoreConfig) -> S3Store:
        """Credentials are those of the AWS chain; raises ConfigError for impossible settings."""
        if not config.url.removeprefix("s3://").partition("/")[0]:
            raise ConfigError(f"store.url: got {config.url!r}; want s3://bucket/prefix")
        clients = Clients(config)
        clients.trying(config.max_attempts)
        return cls(clients, config, config.url)

    @property
    def num_retries(self) -> int:
        return self._clients.num_retries

    @property
    def _patient(self) -> Any:
        return self._clients.trying(self._config.max_attempts)

    def below(self, prefix: str) -> S3Store:
        url = f"{self.url}/{check_name(prefix).rstrip('/')}"
        return S3Store(self._clients, self._config, url)

    def get(self, name: str) -> bytes:
        return b"".join(self.stream(name))

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes in blocks; the rest of an answer that breaks off is requested again.

        The rest is of the same version of the object.
        """
        return self._stream(name, start, stop, {})

    def _stream(
        self, name: str, start: int, stop: int | None, unchanged: dict[str, str]
    ) -> Iterator[bytes]:
        """As `stream`; `unchanged` becomes the condition that the object is still the one read."""
        from botocore.exceptions import (
            ClientError,
            HTTPClientError,
            IncompleteReadError,
            ResponseStreamingError,
        )

        broken = (HTTPClientError, IncompleteReadError, ResponseStreamingError, OSError)
        failures = 0
        while stop is None or start < stop:
            whole = start == 0 and stop is None  # because an empty object has no range
            span = {} if whole else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
            with self._explained(name):
                try:
                    answer = self._patient.get_object(**self._at(name), **span, **unchanged)
                except ClientError as error:
                    if _code(error) == "InvalidRange":  # past the end
                        return
                    raise
            unchanged["IfMatch"] = answer["ETag"]
            stop = start + int(answer["ContentLength"])
            try:
                for block in answer["Body"].iter_chunks(BLOCK_BYTES):
                    start += len(block)
                    yield block
            except broken as error:
                failures += 1
                self._clients.num_retries += 1
                if failures >= self._config.max_attempts:
                    raise StoreError(
                        f"{self._address(name)}: reading broke off ({error})"
                    ) from None
                _pause(failures)

    def exists(self, name: str) -> bool:
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        from botocore.exceptions import ClientError

        with self._explained(name):
            try:
                return int(self._patient.head_object(**self._at(name))["ContentLength"])
            except ClientError as error:
                if _code(error) in ABSENT:
                    return None
                raise

    def put(self, name: str, data: bytes) -> None:
        self._until_settled(name, lambda: self._write(name, data, _base64(_sha256(data))))

    def put_once(self, name: str, data: bytes, sha256: str | None = None) -> bool:
        hexadecimal = sha256 or hashlib.sha256(data).hexdigest()
        checksum = _base64(binascii.unhexlify(hexadecimal))
        if len(data) < self._config.multipart_min_bytes:
            attempt = lambda: self._write(name, data, checksum, IfNoneMatch="*")  # noqa: E731
        else:
            attempt = lambda: self._write_parts(name, data)  # noqa: E731
        if self._until_settled(name, attempt):
            return True
        try:
            if self.sha256(name) == hexadecimal:
                return False
        except FileNotFoundError:
            raise Conflict(
                f"{self._address(name)}: gone while it was written; find out who deletes or aborts "
                "uploads there, then run again"
            ) from None
        raise Conflict(f"{self._address(name)}: exists with other bytes; a name is written once")

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        condition = {} if expected is not None else {"IfNoneMatch": "*"}
        checksum = _base64(_sha256(data))
        try:
            if expected is not None:
                content = b"".join(self._stream(name, 0, None, condition))
                if content != expected:
                    return False
            if self._until_settled(name, lambda: self._write(name, data, checksum, **condition)):
                return True
        except FileNotFoundError:
            return False
        return expected != data and self._is_now(name, data)  # ours, when its answer was lost

    def delete(self, name: str) -> None:
        with self._explained(name):
            self._patient.delete_object(**self._at(name))

    def delete_if(self, name: str, expected: bytes) -> bool:
        condition: dict[str, str] = {}
        with suppress(FileNotFoundError):
            if b"".join(self._stream(name, 0, None, condition)) == expected:
                with self._explained(name), _condition() as held:
                    self._patient.delete_object(**self._at(name), **condition)
                return held[0]
        return False

    def list(self, prefix: str) -> list[str]:
        return [entry.name for entry in self.entries(prefix)]

    def entries(self, prefix: str) -> Sequence[Entry]:
        pages = self._patient.get_paginator("list_objects_v2")
        with self._explained(prefix):
            entries = [
                Entry(item["Key"][len(self._prefix) :], item["Size"], _time(item["LastModified"]))
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")  # a folder that somebody made in a console
            ]
        return sorted(entries, key=lambda entry: entry.name)

    def sha256(self, name: str) -> str:
        return digest(self.stream(name))

    def preflight(self, planned_bytes: int, min_free_bytes: int) -> None:
        quick = self._clients.trying(min(PREFLIGHT_ATTEMPTS, self._config.max_attempts))
        with self._explained(""):
            quick.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def probe(self) -> None:
        """Create twice, by one request and by multipart, and swap against a wrong ETag."""

        def whole(name: str, data: bytes) -> bool:
            return self._write(name, data, _base64(_sha256(data)), IfNoneMatch="*")

        def stale(name: str, data: bytes) -> bool:
            return self._write(name, data, _base64(_sha256(data)), IfMatch='"0123456789abcdef"')

        for first, second in (
            (whole, whole),
            (self._write_parts, self._write_parts),
            (whole, stale),
        ):
            name = f"probe-{uuid.uuid4().hex}"
            try:
                self._until_settled(name, functools.partial(first, name, b"1"))
                self._until_settled(name, functools.partial(second, name, b"2"))
                protected = self.get(name) == b"1"
            except StoreError as error:
                if "NotImplemented" not in str(error):
                    raise
                protected = False
            finally:
                self.delete(name)
            if not protected:
                raise StoreError(
                    f"store.url: the server of {self.url!r} ignores If-None-Match or If-Match, so "
                    "two writers could mix their shards; want a store with conditional writes (AWS "
                    "S3, SeaweedFS, MinIO)"
                )

    def leftovers(self) -> Sequence[Entry]:
        pages = self._patient.get_paginator("list_multipart_uploads")
        with self._explained(""):
            return [
                Entry(
                    item["Key"][len(self._prefix) :], 0, _time(item["Initiated"]), item["UploadId"]
                )
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                for item in page.get("Uploads", [])
            ]

    def discard(self, leftover: Entry) -> None:
        with self._explained(leftover.name):
            at = self._at(leftover.name)
            self._patient.abort_multipart_upload(**at, UploadId=leftover.upload)

    def _write(self, name: str, data: bytes, checksum: str, **condition: str) -> bool:
        """One request; False when its condition does not hold."""
        with self._explained(name), _condition() as held:
            self._patient.put_object(
                **self._at(name), Body=data, ChecksumSHA256=checksum, **condition
            )
        return held[0]

    def _write_parts(self, name: str, data: bytes) -> bool:
        """Create by multipart upload, aborted on every error; False when the name is taken."""
        client, at, size = self._patient, self._at(name), self._config.part_bytes
        view = memoryview(data)
        with self._explained(name):
            upload = client.create_multipart_upload(**at, ChecksumAlgorithm="SHA256")["UploadId"]

            def send(number: int) -> dict[str, Any]:
                part = bytes(view[(number - 1) * size : number * size])
                checksum = _base64(_sha256(part))
                named = {"UploadId": upload, "PartNumber": number, "ChecksumSHA256": checksum}
                answer = client.upload_part(**at, **named, Body=part)
                return {"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": checksum}

            try:
                with _condition("NoSuchUpload", "404") as held:  # completed or deleted already
                    with ThreadPoolExecutor(PART_THREADS) as pool:
                        parts = list(pool.map(send, range(1, -(-len(data) // size) + 1)))
                    answer = client.complete_multipart_upload(
                        **at, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                    )
                    # because SeaweedFS 4.48 can let two completions at one moment both succeed
                    held[0] = client.head_object(**at)["ETag"] == answer["ETag"]
            except BaseException:
                self._abort(name, upload)
                raise
            if not held[0]:
                self._abort(name, upload)
        return held[0]

    def _abort(self, name: str, upload: str) -> None:
        """Give up an upload; what cannot be reached now is left to `jobs.gc`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._patient.abort_multipart_upload(**self._at(name), UploadId=upload)
        except (BotoCoreError, ClientError):
            return

    def _until_settled(self, name: str, attempt: Callable[[], bool]) -> bool:
        """`attempt` again while the server says 409: another write of the name is under way."""
        for failures in range(1, self._config.max_attempts + 1):
            try:
                return attempt()
            except _Unsettled:
                self._clients.num_retries += 1
                _pause(failures)
        raise StoreError(
            f"{self._address(name)}: still 409 after {self._config.max_attempts} tries; find out "
            "who else writes there, then run again"
        )

    def _is_now(self, name: str, data: bytes) -> bool:
        try:
            return self.get(name) == data
        except FileNotFoundError:
            return False

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_name(name)}

    def _address(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn botocore's errors into StoreError: one line that says what to do."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in ABSENT:
                raise FileNotFoundError(self._address(name)) from None
            if code == "ConditionalRequestConflict" or _status(error) == 409:
                raise _Unsettled(f"{self._address(name)}: {code}; run again to go on") from None
            if code in ("PreconditionFailed", "412"):
                raise StoreError(f"{self._address(name)}: changed while it was read") from None
            message = error.response.get("Error", {}).get("Message", "")
            remedy = REMEDIES.get(code, "run again to go on from here")
            raise StoreError(f"{self._address(name)}: {code} {message}; {remedy}") from None
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise StoreError(
                f"{self._address(name)}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "a profile, or run where an instance role is"
            ) from None
        except BotoCoreError as error:
            raise StoreError(
                f"{self._address(name)}: {error}; check store.endpoint_url and the network, then "
                "run again"
            ) from None


class _Unsettled(StoreError):
    """The server answered 409: it is busy with another write of the same name."""


@contextmanager
def _condition(*also: str) -> Iterator[list[bool]]:
    """A list holding True, or False once the request inside is refused by its condition (412)."""
    from botocore.exceptions import ClientError

    held = [True]
    try:
        yield held
    except ClientError as error:
        if _code(error) not in ("PreconditionFailed", "412", *also):
            raise
        held[0] = False


def _client(config: StoreConfig, attempts: int) -> Any:
    import boto3
    from botocore.config import Config as BotoConfig
    from botocore.exceptions import BotoCoreError

    settings = BotoConfig(
        retries={"mode": "adaptive", "total_max_attempts": attempts},
        connect_timeout=min(10.0, config.timeout_s),
        read_timeout=config.timeout_s,
        max_pool_connections=16,
        # because every write bears its sha256, which the signature covers: once is enough
        s3={
            "payload_signing_enabled": False,
            "addressing_style": "path" if config.path_style else "auto",
        },
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",  # because verify hashes every byte itself
    )
    try:
        return boto3.session.Session().client(
            "s3", endpoint_url=config.endpoint_url, region_name=config.region, config=settings
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"store: {error}; check store.endpoint_url, store.region and AWS_PROFILE"
        ) from None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _time(moment: Any) -> float:
    return float(moment.timestamp())


def _pause(failures: int) -> None:
    """Wait before another attempt: full-jitter backoff, at most ten seconds."""
    time.sleep(random.uniform(0, min(10.0, 0.1 * 2**failures)))
