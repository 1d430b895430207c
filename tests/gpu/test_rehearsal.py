"""The GPU benchmark rehearsed on a CPU, so that minutes on a GPU are spent on figures."""

from __future__ import annotations

import json
import sys

from tests.benchmarks import gpu


def test_the_benchmark_runs_to_its_end_on_a_cpu(tmp_path, monkeypatch, one_thread):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--small", "--out", str(out)])
    gpu.main()
    figures = json.loads(out.read_text())
    assert figures["machine"]["device"] == "cpu"
    agreement = figures["agreement_with_cpu"]
    assert agreement["grey_levels_max_fp32"] == 0  # the same device, so the same bytes
    assert 0 < agreement["grey_levels_mean_bf16"] < 1
    assert agreement["face_cosine_min_bf16"] > 0.999
    assert [row["micro_batch"] for row in figures["faces_per_s"]] == [2]
    assert all(row["faces_per_s"] > 0 for row in figures["faces_per_s"])
    assert all(min(row.values()) > 0 for row in figures["seconds_by_stage"])
    assert figures["generator_training"]["images_per_s"] > 0
