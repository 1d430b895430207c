"""Settings of a store that contradict each other are refused in a release and in a pipeline."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.config.loading import store_settings
from factory.config.pipeline import load_pipeline
from factory.errors import ConfigError

WRONG = [
    (["kms_key_id=alias/faces"], "store.kms_key_id: got 'alias/faces' with store.encryption=null"),
    (["encryption=s3", "bucket_key=true"], "store.bucket_key: got true with store.encryption=s3"),
    (["encryption=rot13"], "store.encryption: got 'rot13'; want one of s3, kms, or null"),
    (["storage_class=DEEP_ARCHIVE"], "store.storage_class: got 'DEEP_ARCHIVE'"),
    (["bucket_owner=me"], "store.bucket_owner: got 'me'; want the 12 digits"),
    (["path_style=true", "addressing_style=virtual"], "store.addressing_style: got 'virtual'"),
    (["endpoint_url=localhost:9000"], "store.endpoint_url: got 'localhost:9000'; want http://"),
    (["proxy=me:secret@proxy"], "store.proxy: got an address; want http://... or https://..."),
    (["url=s3://bucket//x"], "store.url: got 's3://bucket//x'"),
]


@pytest.mark.parametrize(("settings", "line"), WRONG)
def test_contradictions_are_named(tmp_path, settings, line):
    (tmp_path / "c.yaml").write_text("{}\n")
    words = [f"store.{setting}" for setting in settings]
    for read in (load, load_pipeline):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path / "c.yaml", words)
        assert str(caught.value).startswith(line)


def test_settings_at_an_address_are_those_of_a_release(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    words = [
        "store.encryption=kms",
        "store.kms_key_id=k",
        "store.timeout_s=5",
        "store.proxy=http://p",
    ]
    whole = load(tmp_path / "c.yaml", [*words, "store.url=s3://bucket/x"]).store
    assert store_settings("s3://bucket/x", words) == whole
    assert store_settings("s3://bucket/x", [w.removeprefix("store.") for w in words]) == whole
    assert store_settings("s3://bucket/x", ["store.url=s3://other"]).url == "s3://bucket/x"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("store.endpoint=x", "store.endpoint: no such key"),
        ("store.timeout_s=0", "store.timeout_s: got 0.0; want at least 0.1"),
        ("store.timeout_s=soon", "store.timeout_s: got 'soon'; want a number"),
        ("release.seed=1", "store.release"),
    ],
)
def test_wrong_settings_at_an_address(word, line):
    with pytest.raises(ConfigError) as caught:
        store_settings("s3://bucket/x", [word])
    assert str(caught.value).startswith(line)
