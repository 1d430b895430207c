"""Addresses of stores: a local folder or s3://bucket/prefix, and what a wrong one was meant to be.

Bucket names: docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. Other servers
than AWS allow capitals and underscores too.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from factory.errors import ConfigError

BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_ELSEWHERE = re.compile(r"[A-Za-z0-9._-]{1,255}")
ON_HUB = re.compile(r"hf://[\w][\w.-]*/[\w][\w.-]*(@[\w][\w./-]*)?")
MISSPELLED = re.compile(r"s3[an]?:", re.IGNORECASE)
OTHER_SCHEMES = {
    "file": "the folder itself",
    "gs": "s3:// with store.endpoint_url=https://storage.googleapis.com and HMAC keys",
    "http": "s3://bucket/prefix, and the server's address as store.endpoint_url",
    "https": "s3://bucket/prefix, and the server's address as store.endpoint_url",
}


def in_bucket(url: str) -> bool:
    """Whether an address is one of a bucket."""
    return url.startswith("s3://")


def on_hub(url: str) -> bool:
    """Whether an address is one of a dataset on the Hugging Face hub."""
    return url.startswith("hf://")


def hub_and_revision(url: str) -> tuple[str, str | None]:
    """(owner/name, revision or None) of hf://owner/name[@revision]."""
    name, _, revision = url.removeprefix("hf://").partition("@")
    return name, revision or None


def check_hub_address(key: str, url: str) -> None:
    """Raise ConfigError for an address of the hub that is none; `key` is what named it."""
    if not ON_HUB.fullmatch(url):
        raise ConfigError(
            f"{key}: got {url!r}; want hf://owner/name or hf://owner/name@revision, where revision "
            "is a branch, a tag or a commit"
        )


def looks_like_a_bucket(url: str) -> bool:
    """Whether an address was meant as one of a bucket."""
    return MISSPELLED.match(url) is not None


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Bucket and prefix of s3://bucket/prefix; the prefix has no slash at its ends."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix.rstrip("/")


def check_address(key: str, url: str, endpoint_url: str | None = None) -> None:
    """Raise ConfigError in one line for an address that is none; `key` is what named it.

    `endpoint_url` is that of a server other than AWS, if any.
    """
    problem = _problem(url, endpoint_url or os.environ.get("AWS_ENDPOINT_URL"))
    if problem:
        raise ConfigError(f"{key}: got {url!r}{problem}")


def check_path(key: str, path: str, *, only_local: bool = False) -> None:
    """Raise ConfigError in one line for a path that was meant as an address and is none.

    One that is `only_local` may be no address of a bucket either. Which letters a bucket's name may
    have is left to who knows its server.
    """
    is_address = looks_like_a_bucket(path) or urlsplit(path).scheme.lower() in OTHER_SCHEMES
    if is_address:
        check_address(key, path, endpoint_url="any")
    if is_address and only_local:
        raise ConfigError(f"{key}: got {path!r}; want a local path, for no bucket is used there")


def _problem(url: str, endpoint_url: str | None) -> str | None:
    if not url.strip():
        return "; want a local folder or s3://bucket/prefix"
    if not in_bucket(url):
        return _problem_of_folder(url)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not bucket.strip() and not prefix.strip("/ "):
        return "; want s3://bucket/prefix"
    if url.startswith("s3://arn:"):
        return ", an ARN; want the alias of the access point, as s3://alias/prefix"
    if "?" in url or "#" in url:
        return (
            f", with a query; want {re.split('[?#]', url)[0]}, and settings as store.region, "
            "store.endpoint_url or credentials of the AWS chain"
        )
    if "@" in bucket or ":" in bucket:
        return (
            ", with a user or port; want s3://bucket/prefix, the server's address as "
            "store.endpoint_url, and credentials of the AWS chain"
        )
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        return f", with a space or backslash; want {_cleaned(url)}"
    parts = prefix.removesuffix("/").split("/") if prefix.strip("/") else []
    if not bucket or "" in parts or (prefix and not parts):
        return f", with an empty part between slashes; want {_cleaned(url)}"
    if {".", ".."} & set(parts):
        return ", with . or .. as a part, which a bucket has not; want s3://bucket/prefix"
    allowed = BUCKET_ELSEWHERE if endpoint_url else BUCKET
    if not allowed.fullmatch(bucket):
        return (
            f"; {bucket!r} is no bucket's name: want 3 to 63 small letters, digits, dots and "
            "hyphens, beginning and ending with a letter or digit"
        )
    return None


def _problem_of_folder(url: str) -> str | None:
    if MISSPELLED.match(url):
        return f"; want {_cleaned(url)}"
    if url != url.strip():
        return f", with a space at an end; want {url.strip()!r}"
    if "://" in url:
        other = OTHER_SCHEMES.get(urlsplit(url).scheme.lower())
        return f"; want {other or 'a local folder or s3://bucket/prefix'}"
    return None


def _cleaned(url: str) -> str:
    """What was probably meant by an address of a bucket."""
    rest = MISSPELLED.sub("", url.strip(), count=1).replace("\\", "/")
    parts = [re.sub(r"\s+", "-", part.strip()) for part in rest.split("/")]
    return "s3://" + ("/".join(part for part in parts if part) or "bucket/prefix")
