"""A bucket of another region: its server's redirect is followed, or names the region to set."""

from __future__ import annotations

import http.server
import re
import threading
from typing import ClassVar

import pytest

from factory.config import StoreConfig
from factory.errors import StoreError, Unavailable
from factory.store import open_store

MALFORMED = (
    b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message>"
    b"<Region>eu-west-1</Region></Error>"
)


@pytest.fixture
def server(monkeypatch):
    """A server that answers those who sign for `eu-west-1`, or nobody (`deaf`)."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")

    class Handler(http.server.BaseHTTPRequestHandler):
        deaf = False
        signed: ClassVar[list[str]] = []

        def answer(self) -> None:
            region = re.findall(r"/([a-z0-9-]+)/s3/aws4", self.headers["Authorization"])[0]
            self.signed.append(region)
            right = region == "eu-west-1" and not self.deaf
            body = b"<R></R>" if right else MALFORMED
            self.send_response(200 if right else 400)
            self.send_header("x-amz-bucket-region", "eu-west-1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_GET = do_HEAD = answer

        def log_message(self, *_) -> None:
            return

    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    Handler.address = f"http://127.0.0.1:{front.server_address[1]}"
    yield Handler
    front.shutdown()
    front.server_close()


def config(server, **fields) -> StoreConfig:
    return StoreConfig(
        url="s3://bucket/x", endpoint_url=server.address, region="us-east-1", **fields
    )


def test_a_redirect_is_followed(server):
    store = open_store(config(server))
    assert store.list("") == []
    assert server.signed[0] == "us-east-1"
    assert server.signed[-1] == "eu-west-1"
    assert store.exists("a")


def test_a_redirect_that_leads_nowhere_names_the_region(server):
    server.deaf = True
    with pytest.raises(StoreError, match=r"in eu-west-1: set store\.region=eu-west-1") as caught:
        open_store(config(server)).preflight(0, 0)
    assert not isinstance(caught.value, Unavailable)
