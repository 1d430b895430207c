"""A real S3 server for tests (SeaweedFS from PyPI), and a proxy that puts faults in front of it.

python -m tests.s3_server 8333     # serves a throw-away bucket `faces` until it is stopped
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_ports

ACCESS_KEY, SECRET_KEY, BUCKET = "test-access", "test-secret", "faces"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PORTS = [
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "s3.port.lance",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
    "metricsPort",
]
"""Every port that `weed mini` would open at a fixed number."""


@contextmanager
def server(port: int | None = None) -> Iterator[str]:
    """Start `weed`, create BUCKET, yield the endpoint URL, stop it by its pid."""
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    credentials = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "test", "credentials": [credentials], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    numbers = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    numbers["s3.port"] = port or numbers["s3.port"]
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-{name}={number}" for name, number in numbers.items()]
    command += [f"-s3.config={folder / 's3.json'}", "-webdav=false", "-admin.ui=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    endpoint = f"http://127.0.0.1:{numbers['s3.port']}"
    try:
        _create_bucket(endpoint, process, folder / "log")
        yield endpoint
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def client(endpoint: str) -> Any:
    """A plain boto3 client with the server's credentials."""
    import boto3

    names = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **names)


def _create_bucket(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 60
    while True:
        try:
            client(endpoint).create_bucket(Bucket=BUCKET)
            return
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"weed did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)


@dataclass
class Faults:
    """What the proxy does to requests; `plan(method, path)` names a fault, or None, for each."""

    plan: Callable[[str, str], str | None] = lambda method, path: None
    done: list[str] = field(default_factory=list)


@contextmanager
def proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """A proxy in front of the server. Faults: `503`, `409`, `403`, `reset` (the request is
    carried out, its answer lost), `truncate` (half of the body comes back), `slow`, and
    `unconditional` (the request is carried out without its If-None-Match or If-Match)."""
    upstream = endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = faults.plan(self.command, self.path)
            if fault:
                faults.done.append(fault)
            if fault in REFUSALS:
                code = REFUSALS[fault]
                error = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
                self.answer(int(fault), {"Content-Type": "application/xml"}, error.encode())
                return
            if fault == "slow":
                time.sleep(0.5)
            status, headers, data = self.forward(body, conditional=fault != "unconditional")
            if fault == "reset":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            elif fault == "truncate":
                self.answer(status, headers, data, sent=len(data) // 2)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.answer(status, headers, data)

        def forward(self, body: bytes, *, conditional: bool) -> tuple[int, dict[str, str], bytes]:
            headers = dict(self.headers.items())
            headers.pop("Expect", None)
            if not conditional:  # signed anew, because the conditions are part of the signature
                headers = _sign_again(self.command, f"{endpoint}{self.path}", headers, body)
            connection = http.client.HTTPConnection(upstream, timeout=60)
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
            forwarded = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            if self.command == "HEAD":
                forwarded["Content-Length"] = answer.getheader("Content-Length", "0")
            connection.close()
            return answer.status, forwarded, data

        def answer(
            self, status: int, headers: dict[str, str], data: bytes, sent: int | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            with contextlib.suppress(ConnectionError):  # a client that waited no longer
                self.end_headers()
                self.wfile.write(data[:sent])
                self.wfile.flush()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def log_message(self, *_: object) -> None:
            return

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front.daemon_threads = True
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        front.server_close()
        thread.join()


REFUSALS = {"503": "SlowDown", "409": "ConditionalRequestConflict", "403": "AccessDenied"}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def _sign_again(method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    dropped = {"if-none-match", "if-match", "authorization", "host", "x-amz-date", "content-length"}
    forwarded = {k: v for k, v in headers.items() if k.lower() not in dropped}
    request = AWSRequest(method=method, url=url, data=body, headers=forwarded)
    request.context["has_streaming_input"] = False
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def end_on_sigterm() -> None:
    """Have SIGTERM end this process as Ctrl-C does, so that the server of its `with` ends too."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # because timeout(1) may send it twice
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    end_on_sigterm()
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else None) as address:
        print(f"export AWS_ENDPOINT_URL={address}")
        print("\n".join(f"export {name}={value}" for name, value in CREDENTIALS.items()))
        print(f"# store.url=s3://{BUCKET}/prefix; stop with Ctrl-C (pid {os.getpid()})", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
