"""What an S3 server's refusal means: whether it may pass, and what to do about it.

Codes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. What botocore has tried
max_attempts times and may still pass by itself is Unavailable; what the same request would meet
again is a plain StoreError.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from factory.errors import StoreError, Unavailable

ABSENT = {"404", "NoSuchKey", "NotFound"}
PASSING = {
    "SlowDown",
    "Busy",
    "BandwidthLimitExceeded",
    "InternalError",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "PreconditionFailed",
    "412",
}
"""Codes of what may have passed when the request is made again, whatever their status is."""
PASSING_STATUS = {408, 429, 500, 502, 503, 504}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
"""Codes of credentials that ran out; some are renewed by themselves."""
MOVED = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
LASTING_409 = {"InvalidBucketState", "BucketAlreadyExists", "BucketAlreadyOwnedByYou"}
REMEDIES = {
    "NoSuchBucket": "create the bucket, or choose another",
    "AccessDenied": "allow these credentials to list, read and write the bucket (and its KMS key), "
    "and check store.bucket_owner and store.requester_pays",
    "AllAccessDisabled": "allow these credentials to list, read and write the bucket",
    "400": "check the credentials (an expired token is answered so) and store.region",
    "403": "check the credentials and what they may do, and store.bucket_owner",
    "InvalidAccessKeyId": "check the credentials of the AWS chain",
    "SignatureDoesNotMatch": "check the secret key of the AWS chain",
    "RequestTimeTooSkewed": "set this machine's clock",
    "ExpiredToken": "renew the credentials",
    "ExpiredTokenException": "renew the credentials",
    "TokenRefreshRequired": "renew the credentials",
    "InvalidToken": "renew the credentials",
    "PermanentRedirect": "set store.region to the bucket's",
    "AuthorizationHeaderMalformed": "set store.region to the bucket's",
    "IllegalLocationConstraintException": "set store.region to the bucket's",
    "MethodNotAllowed": "check store.endpoint_url",
    "InvalidStorageClass": "choose another store.storage_class",
    "KMS.NotFoundException": "check store.kms_key_id and the region of the key",
    "KMS.DisabledException": "enable the key of store.kms_key_id",
    "KMS.KMSInvalidStateException": "check the key of store.kms_key_id",
    "InvalidObjectState": "restore the objects from their storage class",
    "NotImplemented": "leave out what this server does not know, or choose another",
    "QuotaExceeded": "free some space, or raise the quota",
    "InsufficientStorage": "free some space on the server",
    "XMinioStorageFull": "free some space on the server",
}
"""What to do about an answer that no retry solves, by S3 error code."""


class Unsettled(Unavailable):
    """The server answered 409: it is busy with another write of the same name."""


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn botocore's errors into FileNotFoundError, StoreError or Unavailable, of one line."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise of_answer(address, error) from None
    except BotoCoreError as error:
        raise of_request(address, error) from None
    except ResponseParserError as error:
        raise StoreError(
            f"{address}: what answers is no S3 server ({_line(error)}); check store.endpoint_url"
        ) from None


def of_answer(address: str, error: Any) -> OSError:
    """The error that an answer of the server is; `error` is botocore's ClientError."""
    code, status = code_of(error), status_of(error)
    if code in ABSENT:
        return FileNotFoundError(address)
    if code == "ConditionalRequestConflict" or (status == 409 and code not in LASTING_409):
        return Unsettled(f"{address}: {code}; run again to go on")
    if code in ("PreconditionFailed", "412"):
        return Unavailable(f"{address}: changed while it was read; run again to go on")
    message = _line(error.response.get("Error", {}).get("Message", ""))
    text = f"{address}: {' '.join(part for part in (code, message) if part)}"
    if code in EXPIRED and _renewed_by_itself():
        return Unavailable(f"{text}; the role's credentials are being renewed, run again")
    region = _region_of(error)
    if region and (code in MOVED or status in (301, 307, 400)):
        return StoreError(f"{text}; the bucket is in {region}: set store.region={region}")
    if may_pass(error):
        return Unavailable(f"{text}; run again to go on from here")
    remedy = REMEDIES.get(code) or f"check the settings of store (HTTP {status})"
    return StoreError(f"{text}; {remedy}")


def may_pass(error: Any) -> bool:
    """Whether a ClientError is a server's that is only busy, or in trouble for a while."""
    code = code_of(error)
    return code in PASSING or (status_of(error) in PASSING_STATUS and code not in REMEDIES)


def of_request(address: str, error: Any) -> StoreError:
    """The error of a request that got no answer; `error` is botocore's BotoCoreError."""
    from botocore import exceptions as botocore

    text = f"{address}: {_line(error)}"
    if isinstance(error, botocore.NoCredentialsError | botocore.PartialCredentialsError):
        return StoreError(
            f"{text}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run where an "
            "instance role is"
        )
    if isinstance(error, botocore.SSLError) and "certificate" in str(error).lower():
        return StoreError(f"{text}; give the server's certificates as store.ca_bundle")
    if _names_nobody(error):
        return StoreError(f"{text} (no such host); check store.endpoint_url and store.region")
    if isinstance(error, botocore.ProxyConnectionError):
        return Unavailable(f"{text}; check store.proxy and HTTPS_PROXY, then run again")
    if isinstance(error, botocore.CredentialRetrievalError | botocore.MetadataRetrievalError):
        return Unavailable(f"{text}; run again when credentials can be had")
    if isinstance(
        error,
        botocore.ConnectionError | botocore.HTTPClientError | botocore.IncompleteReadError,
    ):
        return Unavailable(f"{text}; check store.endpoint_url and the network, then run again")
    return StoreError(f"{text}; check the settings of store")


def code_of(error: Any) -> str:
    """S3's error code of a ClientError, such as SlowDown; the status where there is no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: Any) -> int:
    """HTTP status of a ClientError; 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _region_of(error: Any) -> str | None:
    """The region of the bucket, where the answer names it."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    return str(region) if region else None


def _renewed_by_itself() -> bool:
    """Whether the credentials of the AWS chain are a role's, which botocore renews."""
    import boto3
    from botocore.credentials import RefreshableCredentials

    return isinstance(boto3.session.Session().get_credentials(), RefreshableCredentials)


def _names_nobody(error: Any) -> bool:
    """Whether a host's name is known to no name server, for good."""
    cause = getattr(error, "kwargs", {}).get("error")
    while isinstance(cause, BaseException):
        if isinstance(cause, socket.gaierror):
            return cause.errno == socket.EAI_NONAME
        cause = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
    return False


def _line(error: object) -> str:
    return " ".join(str(error).split())
