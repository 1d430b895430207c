"""Which answers of an S3 server may pass, and which stay, whatever is asked again."""

from __future__ import annotations

import pickle
import socket

import pytest
from botocore import exceptions as botocore

from factory.errors import MAY_GO_AGAIN, REFUSED, StoreError, Unavailable
from factory.store import s3_errors
from factory.store.s3_errors import Unsettled, explained

STATIC = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}


def answer(code: str, status: int, **details) -> botocore.ClientError:
    headers = details.pop("headers", {})
    body = {
        "Error": {"Code": code, "Message": "told\nin lines", **details},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return botocore.ClientError(body, "PutObject")


def outcome(error: Exception) -> Exception:
    with pytest.raises(OSError) as caught, explained("s3://bucket/x"):
        raise error
    assert str(caught.value).startswith("s3://bucket/x")
    assert "\n" not in str(caught.value)
    return caught.value


PASSING = [
    answer("SlowDown", 503),
    answer("Busy", 503),
    answer("ServiceUnavailable", 503),
    answer("InternalError", 500),
    answer("InternalError", 200),  # a completed upload may say so in its body
    answer("Throttling", 400),
    answer("RequestLimitExceeded", 400),
    answer("TooManyRequestsException", 429),
    answer("RequestTimeout", 400),
    answer("IncompleteBody", 400),
    answer("BadDigest", 400),
    answer("OperationAborted", 409),
    answer("ConditionalRequestConflict", 409),
    answer("PreconditionFailed", 412),
    *(answer(str(status), status) for status in (408, 429, 500, 502, 503, 504)),
    botocore.EndpointConnectionError(endpoint_url="http://x", error=ConnectionRefusedError(111)),
    botocore.EndpointConnectionError(
        endpoint_url="http://x", error=socket.gaierror(socket.EAI_AGAIN, "try again")
    ),
    botocore.ConnectTimeoutError(endpoint_url="http://x", error="slow"),
    botocore.ReadTimeoutError(endpoint_url="http://x", error="slow"),
    botocore.ConnectionClosedError(endpoint_url="http://x", error="reset"),
    botocore.HTTPClientError(error="reset"),
    botocore.ProxyConnectionError(proxy_url="http://p", error="refused"),
    botocore.ResponseStreamingError(error="cut off"),
    botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    botocore.CredentialRetrievalError(provider="iam-role", error_msg="no answer"),
    botocore.MetadataRetrievalError(error_msg="no answer"),
    botocore.SSLError(endpoint_url="http://x", error="EOF occurred in violation of protocol"),
]
STAYING = [
    (answer("AccessDenied", 403), "allow these credentials"),
    (answer("403", 403), "what they may do"),
    (answer("NoSuchBucket", 404), "create the bucket"),
    (answer("SignatureDoesNotMatch", 403), "check the secret key"),
    (answer("InvalidAccessKeyId", 403), "check the credentials"),
    (answer("RequestTimeTooSkewed", 403), "set this machine's clock"),
    (answer("PermanentRedirect", 301), "set store.region to the bucket's"),
    (answer("NotImplemented", 501), "leave out what this server does not know"),
    (answer("InvalidStorageClass", 400), "store.storage_class"),
    (answer("KMS.NotFoundException", 400), "store.kms_key_id"),
    (answer("KMS.DisabledException", 400), "enable the key"),
    (answer("XMinioStorageFull", 507), "free some space"),
    (answer("QuotaExceeded", 503), "free some space, or raise the quota"),
    (answer("InvalidBucketState", 409), "check the settings of store (HTTP 409)"),
    (answer("InvalidRequest", 400), "check the settings of store (HTTP 400)"),
    (answer("InvalidToken", 400), "renew the credentials"),
    (botocore.NoCredentialsError(), "set AWS_ACCESS_KEY_ID"),
    (botocore.PartialCredentialsError(provider="env", cred_var="b"), "set AWS_ACCESS_KEY_ID"),
    (
        botocore.SSLError(endpoint_url="http://x", error="certificate verify failed"),
        "store.ca_bundle",
    ),
    (
        botocore.EndpointConnectionError(
            endpoint_url="http://x", error=socket.gaierror(socket.EAI_NONAME, "not known")
        ),
        "no such host",
    ),
    (botocore.ParamValidationError(report="Invalid bucket name"), "check the settings of store"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_exit_code_of_what_may_pass(error):
    made = outcome(error)
    assert isinstance(made, Unavailable)
    assert made.exit_code == MAY_GO_AGAIN
    assert "again" in str(made)


@pytest.mark.parametrize(("error", "remedy"), STAYING, ids=repr)
def test_exit_code_of_what_stays(error, remedy):
    made = outcome(error)
    assert isinstance(made, StoreError)
    assert not isinstance(made, Unavailable)
    assert made.exit_code == REFUSED
    assert remedy in str(made)


def test_a_conflict_is_told_from_other_troubles():
    assert isinstance(outcome(answer("ConditionalRequestConflict", 409)), Unsettled)
    assert not isinstance(outcome(answer("SlowDown", 503)), Unsettled)
    for code in ("NoSuchKey", "404", "NotFound"):
        assert isinstance(outcome(answer(code, 404)), FileNotFoundError)


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired"])
def test_a_token_that_ran_out_may_pass_where_a_role_renews_it(monkeypatch, tmp_path, code):
    """Static ones stay expired; those of a role are fetched again by botocore."""
    for name, value in STATIC.items():
        monkeypatch.setenv(name, value)
    made = outcome(answer(code, 400))
    assert not isinstance(made, Unavailable)
    assert "renew the credentials" in str(made)
    for name in STATIC:
        monkeypatch.delenv(name)
    token = tmp_path / "token"
    token.write_text("a web identity, as a pod has it")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/faces")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert isinstance(outcome(answer(code, 400)), Unavailable)


@pytest.mark.parametrize(
    "error",
    [
        answer("PermanentRedirect", 301, headers={"x-amz-bucket-region": "eu-west-1"}),
        answer("301", 301, headers={"x-amz-bucket-region": "eu-west-1"}),
        answer("400", 400, headers={"x-amz-bucket-region": "eu-west-1"}),
        answer("AuthorizationHeaderMalformed", 400, Region="eu-west-1"),
    ],
)
def test_a_bucket_elsewhere_is_named_with_its_region(error):
    assert "the bucket is in eu-west-1: set store.region=eu-west-1" in str(outcome(error))


@pytest.mark.parametrize("kind", [Unavailable, Unsettled, StoreError])
def test_exit_code_survives_a_pickle_and_ray(kind):
    error = kind("s3://bucket/x: SlowDown; run again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.exit_code) == (str(error), error.exit_code)
    ray = pytest.importorskip("ray")
    wrapped = ray.exceptions.RayTaskError("make", "traceback", error)
    arrived = ray.exceptions.RayError.from_bytes(wrapped.to_bytes()).as_instanceof_cause()
    assert isinstance(arrived, kind)
    assert arrived.exit_code == error.exit_code
    assert arrived.cause.exit_code == error.exit_code


def test_a_page_that_is_no_answer_of_s3_stays():
    from botocore.parsers import ResponseParserError

    made = outcome(ResponseParserError("invalid XML received:\nb'<html>'"))
    assert "no S3 server" in str(made)
    assert not isinstance(made, Unavailable)


def test_every_code_with_a_remedy_stays():
    assert not set(s3_errors.REMEDIES) & s3_errors.PASSING
