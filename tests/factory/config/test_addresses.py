"""Addresses that are none are answered with the one that was meant, before any work."""

from __future__ import annotations

import pytest

from factory.config.addresses import bucket_and_prefix, check_address
from factory.errors import ConfigError


@pytest.fixture(autouse=True)
def on_aws(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("s3://bucket//x", "an empty part between slashes; want s3://bucket/x"),
        ("s3://bucket/x//", "an empty part between slashes; want s3://bucket/x"),
        ("s3://bucket//", "an empty part between slashes; want s3://bucket"),
        ("s3:///bucket/x", "an empty part between slashes; want s3://bucket/x"),
        ("s3:/bucket/x", "want s3://bucket/x"),
        ("s3:bucket/x", "want s3://bucket/x"),
        ("S3://bucket/x", "want s3://bucket/x"),
        ("s3a://bucket/x", "want s3://bucket/x"),
        ("s3n://bucket/x", "want s3://bucket/x"),
        ("s3://bucket/a/../b", ". or .. as a part"),
        ("s3://bucket/./b", ". or .. as a part"),
        ("s3://bucket/two words", "a space or backslash; want s3://bucket/two-words"),
        ("s3://bucket/x ", "a space or backslash; want s3://bucket/x"),
        ("s3://bucket/a\\b", "a space or backslash; want s3://bucket/a/b"),
        ("s3://bucket/x\n", "a space or backslash; want s3://bucket/x"),
        ("s3://bucket/x?region=eu-west-1", "with a query; want s3://bucket/x, and settings as"),
        ("s3://bucket/x#1", "with a query; want s3://bucket/x, and settings as"),
        ("s3://key:secret@bucket/x", "a user or port; want s3://bucket/prefix"),
        ("s3://localhost:9000/x", "a user or port; want s3://bucket/prefix"),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/p", "alias of the access point"),
        ("s3://Bucket/x", "'Bucket' is no bucket's name"),
        ("s3://my_bucket/x", "'my_bucket' is no bucket's name"),
        ("s3://ab/x", "'ab' is no bucket's name"),
        ("s3://a..b/x", "'a..b' is no bucket's name"),
        ("s3://192.168.0.1/x", "'192.168.0.1' is no bucket's name"),
        ("s3://-abc/x", "'-abc' is no bucket's name"),
        ("s3://", "want s3://bucket/prefix"),
        ("s3:///", "want s3://bucket/prefix"),
        ("", "want a local folder or s3://bucket/prefix"),
        (" runs/x", "a space at an end; want 'runs/x'"),
        ("gs://bucket/x", "store.endpoint_url=https://storage.googleapis.com"),
        ("https://bucket.s3.amazonaws.com/x", "want s3://bucket/prefix"),
        ("file:///data/x", "want the folder itself"),
        ("gopher://x", "want a local folder or s3://bucket/prefix"),
    ],
)
def test_what_was_meant_is_named(url, remedy):
    with pytest.raises(ConfigError) as caught:
        check_address("store.url", url)
    assert str(caught.value).startswith(f"store.url: got {url!r}")
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/x", ("bucket", "x")),
        ("s3://bucket/x/y/", ("bucket", "x/y")),
        ("s3://a.b-c1/x=1/y,z", ("a.b-c1", "x=1/y,z")),
    ],
)
def test_addresses_of_buckets(url, parts):
    check_address("store.url", url)
    assert bucket_and_prefix(url) == parts


@pytest.mark.parametrize("folder", ["runs/releases", "/data/my faces", "a:b", "../x", "s3", "C:/x"])
def test_folders_are_left_alone(folder):
    check_address("store.url", folder)


def test_other_servers_have_other_names_of_buckets(monkeypatch):
    check_address("store.url", "s3://My_Bucket/x", "http://ceph:7480")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://ceph:7480")
    check_address("store.url", "s3://My_Bucket/x")
