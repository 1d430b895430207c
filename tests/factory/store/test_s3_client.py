"""What is sent along with each operation, without a network: botocore's answers are made up."""

from __future__ import annotations

import io
import pickle

import pytest
import urllib3
from botocore.awsrequest import AWSResponse

from factory.config import StoreConfig
from factory.errors import ConfigError, StoreError
from factory.store import open_store
from factory.store.base import Entry

ETAG = '"an-opaque-etag-that-is-no-digest"'
UPLOAD = b"<R><UploadId>u</UploadId></R>"
ANSWERS = {
    "CreateMultipartUpload": (200, UPLOAD),
    "CompleteMultipartUpload": (200, f"<R><ETag>{ETAG}</ETag></R>".encode()),
    "DeleteObject": (204, b""),
    "AbortMultipartUpload": (204, b""),
    "ListObjectsV2": (200, b"<R></R>"),
    "ListMultipartUploads": (200, b"<R></R>"),
    "GetObject": (200, b"old"),
}
WRITES = {"PutObject", "CreateMultipartUpload"}
OBJECTS = WRITES | {
    *("UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "GetObject", "HeadObject"),
    *("DeleteObject", "ListObjectsV2", "ListMultipartUploads"),
}
SENT = {
    "x-amz-server-side-encryption": ("aws:kms", WRITES),
    "x-amz-server-side-encryption-aws-kms-key-id": ("alias/faces", WRITES),
    "x-amz-server-side-encryption-bucket-key-enabled": ("true", WRITES),
    "x-amz-storage-class": ("STANDARD_IA", WRITES),
    "x-amz-request-payer": ("requester", OBJECTS),
    "x-amz-expected-bucket-owner": ("123456789012", OBJECTS),
}
ALL = {
    "encryption": "kms",
    "kms_key_id": "alias/faces",
    "bucket_key": True,
    "storage_class": "STANDARD_IA",
    "requester_pays": True,
    "bucket_owner": "123456789012",
}


@pytest.fixture
def sent(monkeypatch):
    """Function of StoreConfig fields -> requests that every operation sent, by its name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def make(pickled=False, **fields):
        store = open_store(StoreConfig(url="s3://bucket/x", multipart_min_bytes=100, **fields))
        store = pickle.loads(pickle.dumps(store)) if pickled else store
        requests: dict[str, list] = {}

        def answer(request, event_name, **_):
            operation = event_name.rpartition(".")[2]
            requests.setdefault(operation, []).append(request)
            status, body = ANSWERS.get(operation, (200, b""))
            headers = {"ETag": ETAG, "Content-Length": str(len(body))}
            raw = urllib3.HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
            return AWSResponse(request.url, status, headers, raw)

        for attempts in (3, 10):
            store._clients.trying(attempts).meta.events.register("before-send.s3", answer)
        assert store.put_once("small", b"1")
        assert store.put_once("large", b"2" * 200)
        store.put("small", b"3")
        assert store.swap("small", b"old", b"new")
        assert store.get("small") == b"old"
        assert store.exists("small")
        store.preflight(0, 0)
        assert store.list("") == []
        assert store.leftovers() == []
        store.discard(Entry("large", 0, 0.0, "u"))
        store.delete("small")
        return requests

    return make


@pytest.mark.parametrize("pickled", [False, True], ids=["here", "at a maker"])
def test_each_operation_sends_what_it_knows(sent, pickled):
    requests = sent(pickled, **ALL)
    assert set(requests) == OBJECTS
    for header, (value, operations) in SENT.items():
        for operation, made in requests.items():
            for request in made:
                got = request.headers.get(header)
                got = got.decode() if isinstance(got, bytes) else got
                assert got == (value if operation in operations else None), (header, operation)


def test_nothing_is_sent_that_nobody_asked_for(sent):
    for made in sent().values():
        assert not {name.lower() for request in made for name in request.headers} & set(SENT)


def test_keys_of_the_store_need_no_id(sent):
    requests = sent(encryption="s3")
    assert {r.headers["x-amz-server-side-encryption"] for r in requests["PutObject"]} == {b"AES256"}
    assert "x-amz-server-side-encryption-aws-kms-key-id" not in requests["PutObject"][0].headers


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "https://bucket.s3.amazonaws.com/x/small"),
        ({"addressing_style": "path"}, "https://s3.amazonaws.com/bucket/x/small"),
        ({"path_style": True}, "https://s3.amazonaws.com/bucket/x/small"),
        ({"endpoint_url": "http://ceph"}, "http://ceph/bucket/x/small"),
        (
            {"endpoint_url": "http://ceph", "addressing_style": "virtual"},
            "http://bucket.ceph/x/small",
        ),
    ],
)
def test_where_requests_name_the_bucket(sent, fields, address):
    assert {request.url for request in sent(**fields)["PutObject"]} == {address}


def test_a_proxy_and_certificates_are_botocores(sent, tmp_path):
    import botocore.httpsession

    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    config = StoreConfig(url="s3://bucket/x", proxy="http://p:3128", ca_bundle=str(bundle))
    made, real = [], botocore.httpsession.URLLib3Session.__init__

    def init(self, *arguments, **settings):
        made.append(settings)
        real(self, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "made-up")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        patch.setattr(botocore.httpsession.URLLib3Session, "__init__", init)
        open_store(config)
    of_s3 = made[-1]
    assert of_s3["proxies"] == {"http": "http://p:3128", "https": "http://p:3128"}
    assert of_s3["verify"] == str(bundle)
    with pytest.raises(ConfigError, match=r"store\.ca_bundle: no such file '/none'"):
        open_store(StoreConfig(url="s3://bucket/x", ca_bundle="/none"))


def test_a_certificate_that_nobody_vouches_for_is_named(tmp_path, monkeypatch):
    """A real server with a certificate of its own: refused, then trusted by store.ca_bundle."""
    import http.server
    import ssl
    import subprocess
    import threading

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "ca.pem")]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, *files, *named], check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"<R></R>")

        def log_message(self, *_):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"https://localhost:{server.server_address[1]}"
        fields = {"url": "s3://bucket/x", "endpoint_url": address, "region": "us-east-1"}
        with pytest.raises(StoreError, match=r"certificates as store\.ca_bundle"):
            open_store(StoreConfig(**fields)).preflight(0, 0)
        bundle = str(tmp_path / "ca.pem")
        open_store(StoreConfig(**fields, ca_bundle=bundle)).preflight(0, 0)
    finally:
        server.shutdown()
        server.server_close()
