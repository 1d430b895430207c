"""A whole lineage submitted to nodes that share no folder but a bucket: made once, then skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from factory.shards import layout
from factory.shards.verify import verify
from factory.store import open_url
from factory.store.cache import cache_root
from tests.cluster.nodes import ROOT
from tests.s3_server import BUCKET

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.s3, pytest.mark.timeout(900)]

STAGES = ["recognizer", "autoencoder", "generator", "release", "evaluation"]


@pytest.fixture
def nodes(nodes, monkeypatch, tmp_path):
    """Two workers; what they fetch lies in a folder of this test."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", nodes.environment["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    nodes.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    nodes.join()
    nodes.join()
    return nodes


def test_a_lineage_on_nodes_and_again(nodes, tmp_path):
    url = f"s3://{BUCKET}/{tmp_path.parent.name}-lineage"

    def submit() -> tuple[str, float]:
        command = [sys.executable, "-W", "ignore", "-m", "jobs.submit"]
        command += ["configs/pipeline/smoke.yaml", "--job", "pipeline", f"store.url={url}"]
        command += ["store.path_style=true", "--address", nodes.jobs]
        begun = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=nodes.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, time.monotonic() - begun

    output, first_s = submit()
    assert all(f"{stage}: " in output for stage in STAGES)
    assert "made before" not in output
    release = open_url(f"{url}/smoke/releases/0.1.0")
    assert verify(release) == []
    assert release.exists(layout.metrics_name("similarity"))
    assert list(cache_root().rglob("weights.safetensors"))  # read from the bucket, by address

    shutil.rmtree(cache_root())
    sums = release.get(layout.SUMS)
    output, again_s = submit()
    assert output.count("made before") == len(STAGES)
    assert release.get(layout.SUMS) == sums
    print(json.dumps({"first_s": round(first_s, 1), "again_s": round(again_s, 1)}))
