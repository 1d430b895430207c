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
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from factory.config import StoreConfig
from factory.config.addresses import bucket_and_prefix
from factory.errors import Conflict, StoreError, Unavailable
from factory.store.base import BLOCK_BYTES, Entry, check_name, check_neighbor, digest
from factory.store.s3_client import Clients
from factory.store.s3_errors import ABSENT, Unsettled, code_of, explained, may_pass

PREFLIGHT_ATTEMPTS = 3
"""Tries before work starts: a wrong endpoint should not take minutes to be named."""
PART_THREADS = 4
"""Parts of one object that are uploaded at once; each is copied while it is under way."""
Write = Callable[[str, bytes], bool]
"""Writes bytes under a name; False when it is refused."""


class S3Store:
    """Objects under a prefix of a bucket."""

    def __init__(self, clients: Clients, config: StoreConfig, url: str) -> None:
        self.url = url.rstrip("/")
        self._clients, self._config = clients, config
        self._bucket, prefix = bucket_and_prefix(self.url)
        self._prefix = prefix + "/" if prefix else ""

    @classmethod
    def open(cls, config: StoreConfig) -> S3Store:
        """Credentials are those of the AWS chain; raises ConfigError for impossible settings."""
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

    def at(self, url: str) -> S3Store:
        return S3Store(self._clients, self._config, url)

    def beside(self, name: str) -> S3Store:
        url = f"{self.url.rpartition('/')[0]}/{check_neighbor(name)}"
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
                    if code_of(error) == "InvalidRange":  # past the end
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
                    raise Unavailable(
                        f"{self._address(name)}: reading broke off ({error}); run again to go on"
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
                if code_of(error) in ABSENT:
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
        from botocore.exceptions import ClientError

        quick = self._clients.trying(min(PREFLIGHT_ATTEMPTS, self._config.max_attempts))
        at = {"Bucket": self._bucket, "Prefix": self._prefix, "MaxKeys": 1}
        with self._explained(""):
            try:
                quick.list_objects_v2(**at)
            except ClientError as error:
                if not may_pass(error):
                    raise
                self._clients.num_retries += 1
                self._patient.list_objects_v2(**at)  # because it is there, and only busy

    def probe(self, log: Callable[[str], None] = print) -> None:
        """Create twice, by one request and by multipart, and swap against a wrong ETag."""
        may_delete = self._may_delete()
        if not may_delete:
            log(
                f"{self.url}: these credentials may not delete, so three small probe-* objects stay"
            )
        for kind, (first, second) in self._attempts().items():
            # the names are fixed where nothing is deleted, so that no more of them come
            name = f"probe-{uuid.uuid4().hex if may_delete else kind}"
            try:
                self._until_settled(name, functools.partial(first, name, b"1"))
                self._until_settled(name, functools.partial(second, name, b"2"))
                protected = self.get(name) == b"1"
                if protected and kind == "swap":
                    self._check_replaced(name)
            except StoreError as error:
                if "NotImplemented" not in str(error):
                    raise
                protected = False
            finally:
                may_delete = may_delete and self._deleted(name, log)
            if not protected:
                raise StoreError(
                    f"store.url: the server of {self.url!r} ignores If-None-Match or If-Match, so "
                    "two writers could mix their shards; want a store with conditional writes (AWS "
                    "S3, SeaweedFS, MinIO)"
                )

    def _check_replaced(self, name: str) -> None:
        """Raise StoreError where an object that is there cannot be replaced."""
        try:
            self.swap(name, b"1", b"1")
        except Unavailable:
            raise
        except StoreError as error:
            raise StoreError(
                f"store.url: objects of {self.url!r} cannot be replaced, as under a retention "
                f"policy ({error}); a release renews its locks: want a bucket without one"
            ) from None

    def _deleted(self, name: str, log: Callable[[str], None]) -> bool:
        """Delete a probe; False, and a line, where the bucket keeps what is there."""
        try:
            self.delete(name)
        except Unavailable:
            raise
        except StoreError as error:
            log(f"{self.url}: this bucket keeps what was written: {name} stays ({error})")
            return False
        return True

    def _attempts(self) -> dict[str, tuple[Write, Write]]:
        """Pairs of writes of which the second must be refused, by what they try."""

        def whole(name: str, data: bytes) -> bool:
            return self._write(name, data, _base64(_sha256(data)), IfNoneMatch="*")

        def stale(name: str, data: bytes) -> bool:
            return self._write(name, data, _base64(_sha256(data)), IfMatch='"0123456789abcdef"')

        parts = self._write_parts
        return {"put": (whole, whole), "parts": (parts, parts), "swap": (whole, stale)}

    def _may_delete(self) -> bool:
        """Whether these credentials may delete: a name that is not there, which harms nobody."""
        from botocore.exceptions import ClientError

        name = f"probe-{uuid.uuid4().hex}"
        with self._explained(name):
            try:
                self._patient.delete_object(**self._at(name))
            except ClientError as error:
                if code_of(error) not in ("AccessDenied", "403", "MethodNotAllowed"):
                    raise
                return False
        return True

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

    def prune(self) -> None:
        """Nothing to do: a bucket has no folders."""

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
            except Unsettled:
                self._clients.num_retries += 1
                _pause(failures)
        raise Unavailable(
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
        with explained(self._address(name)):
            yield


@contextmanager
def _condition(*also: str) -> Iterator[list[bool]]:
    """A list holding True, or False once the request inside is refused by its condition (412)."""
    from botocore.exceptions import ClientError

    held = [True]
    try:
        yield held
    except ClientError as error:
        if code_of(error) not in ("PreconditionFailed", "412", *also):
            raise
        held[0] = False


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _time(moment: Any) -> float:
    return float(moment.timestamp())


def _pause(failures: int) -> None:
    """Wait before another attempt: full-jitter backoff, at most ten seconds."""
    time.sleep(random.uniform(0, min(10.0, 0.1 * 2**failures)))
