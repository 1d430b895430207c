"""Ray nodes on this machine, as an operator starts them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.ports import free_ports

ROOT = Path(__file__).parent.parent.parent


class Nodes:
    """Ray nodes as an operator starts them: `ray start`, own ports, a token, pids that are kept."""

    def __init__(self, folder: Path, **environment: str) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        binaries = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "ignore",
            **environment,
        }
        self._ray, self._log = str(binaries / "ray"), (folder / "nodes.log").open("ab")
        self._gcs, self._jobs = free_ports(2)
        self.address = f"127.0.0.1:{self._gcs}"
        self.jobs = f"http://127.0.0.1:{self._jobs}"
        self._started: list[subprocess.Popen] = []
        self._folders: list[str] = []

    def head(self) -> None:
        client = free_ports(1)[0]
        places = [f"--port={self._gcs}", f"--dashboard-port={self._jobs}"]
        places.append(f"--ray-client-server-port={client}")
        self._start("--head", "--num-cpus=0", "--dashboard-host=127.0.0.1", *places)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._jobs)) == 0:
                    return
            assert time.monotonic() < deadline, "no head after a minute"
            time.sleep(0.5)

    def join(self, **environment: str) -> subprocess.Popen:
        """A node with one CPU and one pretended GPU, and what else its environment shall have."""
        resources = ("--num-cpus=1", "--num-gpus=1")
        return self._start(f"--address={self.address}", *resources, environment=environment)

    def kill(self, node: subprocess.Popen) -> None:
        """Everything that the node started, at once."""
        family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def pids_of(self, *words: str) -> list[int]:
        """Processes of these nodes whose command line holds all the words."""
        pids = []
        for node in self._started:
            with suppress(psutil.NoSuchProcess):
                for process in psutil.Process(node.pid).children(recursive=True):
                    line = " ".join(process.cmdline())
                    if all(word in line for word in words):
                        pids.append(process.pid)
        return sorted(pids)

    def end(self) -> None:
        for node in reversed(self._started):
            if node.poll() is None:
                self.kill(node)
        self._log.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.Popen:
        """With a folder of its own: a node that joins unpacks the working tree anew, away under the
        actors of a node that shares it."""
        self._folders.append(tempfile.mkdtemp(prefix="r"))  # short, because sockets lie in it
        command = [self._ray, "start", "--block", "--disable-usage-stats", *arguments]
        command.append(f"--temp-dir={self._folders[-1]}")
        command.append(f"--dashboard-agent-listen-port={free_ports(1)[0]}")  # else 52365 for all
        node = subprocess.Popen(
            command,
            env=self.environment | (environment or {}),
            stdout=self._log,
            stderr=self._log,
            cwd="/",
        )
        self._started.append(node)
        return node
