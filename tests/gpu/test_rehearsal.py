"""The GPU benchmark rehearsed on a CPU, so that minutes on a GPU are spent on figures."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from factory.diffusion.sampler import SAMPLERS
from tests.benchmarks.gpu import __main__ as gpu
from tests.benchmarks.gpu import correctness, machine, reference, trainings
from tests.benchmarks.gpu.machine import Budget, peak_of, share_of_peak
from tests.benchmarks.gpu.starter_maker import open_maker, random_people, shots_for

CPU = torch.device("cpu")
FLOAT32 = 2e-6
"""Relative errors of float32 on a CPU are a few times 2^-24, through a hundred layers ten times."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory, one_thread):
    """All parts at their smallest, as a run on a CPU writes them."""
    out = tmp_path_factory.mktemp("rehearsal") / "gpu.json"
    # so much time that no part is left out, however busy the machine is
    gpu.main(["--device", "cpu", "--small", "--minutes", "60", "--out", str(out)])
    return json.loads(out.read_text())


def test_every_part_comes_to_its_end(figures):
    assert figures["machine"]["device"] == "cpu"
    assert set(figures) == {"machine", "took_s", *gpu.PARTS}
    assert set(figures["took_s"]) == set(gpu.PARTS)
    for part in gpu.PARTS:
        rows = figures[part] if isinstance(figures[part], list) else [figures[part]]
        assert not any({"error", "skipped"} & set(row) for row in rows), rows


def test_every_path_agrees_with_float64(figures):
    found = figures["correctness"]
    errors = found["networks"] | found["classifier"] | found["schedule_and_samplers"]
    half = {name: error for name, error in errors.items() if name.endswith("bf16")}
    whole = {name: error for name, error in errors.items() if name not in half}
    assert len(half) == 3
    assert len(whole) == 4 + 3 + 2 + len(SAMPLERS)
    assert 0 < max(whole.values()) < FLOAT32
    assert all(1e-3 < error < 2e-2 for error in half.values())
    assert 0 < found["search"].pop("error_over_band") <= 1
    assert found["search"] == {
        "nearest": 0.0,
        "index_same": 1.0,
        "too_near_same": 1.0,
        "neighbors_same": 1.0,
    }
    assert max(found["scores"].values()) < 1e-5  # they are rounded to five digits


def test_the_same_batch_gives_the_same_bytes(figures):
    canary = figures["canary"]["bf16"]
    assert canary["same_bytes_twice"] is True
    assert [row["micro_batch"] for row in canary["batch_shapes"]] == [3]
    assert all(row["face_cosine_min"] > 0.999 for row in canary["batch_shapes"])


def test_rates_stages_and_memory_are_told(figures):
    assert [row["roster"] for row in figures["faces_per_s"]] == [100, 300]
    for row in figures["faces_per_s"]:
        assert row["faces_per_s"] > 0
        assert row["bare_share_of_peak"] is None  # a CPU has no peak in the table
        assert 4e9 < row["operations_a_face"] < 4.5e9  # 2 steps; the starter's 12 take 1.73e10
    (stages,) = figures["seconds_by_stage"]
    assert set(stages) == {
        *("micro_batch", "roster", "noise_and_conditioning", "network", "decoder", "copies"),
        *("embedder", "scores", "encode_one_thread"),
    }
    assert min(stages.values()) > 0
    assert figures["out_of_memory"]["remarks"] == ["batches drawn in 2 parts for want of memory"]
    (memory,) = figures["recognizer_memory"]
    assert memory["measured_over_formula"] == pytest.approx(1, abs=0.14)


def test_trainings_run_by_plain_torch_and_by_deepspeed(figures):
    assert [row["engine"] for row in figures["steps_per_s"]] == ["plain", "ZeRO 2"]
    for row in figures["steps_per_s"]:
        assert row["recognizer_steps_per_s"] > 0, row
        assert row["generator_steps_per_s"] > 0


def test_the_gate_is_that_of_the_plain_loop(figures):
    gate = figures["gate"]
    assert (gate["admitted"], gate["prefix"]) == (600, 100)
    assert gate["prefix_equals_plain_loop"] is True


def test_a_part_that_raises_is_kept_and_the_others_go_on(monkeypatch, tmp_path):
    def fail(device, budget):
        raise RuntimeError("no such kernel")

    parts = {"canary": fail, "gate": lambda device, budget: budget.small}
    monkeypatch.setattr(gpu, "PARTS", parts)
    out = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--small", "--out", str(out)])
    figures = json.loads(out.read_text())
    assert figures["canary"]["error"] == "RuntimeError('no such kernel')"
    assert "fail" in " ".join(figures["canary"]["where"])
    assert figures["gate"] is True


def test_without_time_parts_are_skipped_and_the_json_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "PARTS", dict.fromkeys(("canary", "gate"), lambda *_: "measured"))
    figures = gpu.main(["--device", "cpu", "--minutes", "0", "--only", "gate"])
    assert figures["gate"] == {"skipped": "no time was left of --minutes 0"}
    assert "canary" not in figures
    assert trainings.of_engine(CPU, "1", Budget(0.0))["skipped"] == "no time was left"


def test_a_training_of_seconds_follows_a_trial(monkeypatch):
    asked = []

    def trained(device, steps, *changes):
        asked.append(steps)
        return {"steps_per_s": 7.0, "steps": steps}

    monkeypatch.setattr(trainings, "trained", trained)
    monkeypatch.setattr(gpu, "PARTS", {})
    figures = gpu.main(["--device", "cpu", "--minutes", "0", "--train", "300"])
    assert asked == [30, 2100]
    assert figures["training"] == {"seconds_asked": 300.0, "steps_per_s": 7.0, "steps": 2100}


def test_an_engine_that_cannot_start_says_why(monkeypatch):
    ended = SimpleNamespace(returncode=1, stderr="ImportError: no deepspeed")
    monkeypatch.setattr(trainings.subprocess, "run", lambda *_, **__: ended)
    row = trainings.of_engine(CPU, "3", Budget(60.0))
    assert row == {"engine": "ZeRO 3", "skipped": "it could not start: ImportError: no deepspeed"}


def test_the_share_of_peak_is_operations_over_what_the_card_could(monkeypatch):
    name = "NVIDIA H100 80GB HBM3"
    assert peak_of(name) == 989e12
    assert peak_of("NVIDIA H200") == 989e12
    assert peak_of("Radeon") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    gpu_device = torch.device("cuda")
    assert share_of_peak(gpu_device, 989e12, 2.0) == 0.5
    assert share_of_peak(CPU, 989e12, 2.0) is None
    x = torch.ones(3, 5)
    assert machine.operations(lambda: x @ x.T) == 2 * 3 * 3 * 5


def test_networks_that_compute_otherwise_show(monkeypatch):
    """The largest tensor of each reference is put off by a hundredth of its mean size."""
    plain, seen = reference.in_float64, []

    def put_off(module):
        copied = plain(module)
        seen.append(type(module).__name__)
        for part in getattr(copied, "encoder", copied), getattr(copied, "decoder", copied):
            largest = max(part.parameters(), key=lambda p: p.numel())
            largest.data += 0.01 * largest.abs().mean() * torch.randn(largest.shape)
        return copied

    monkeypatch.setattr(correctness, "in_float64", put_off)
    errors = correctness.networks(CPU, 1, small=True)
    assert set(seen) == {"UViT", "AutoencoderKL", "IResNet"}
    for path in ("uvit_fp32", "encoder_fp32", "decoder_fp32", "embeddings"):
        assert errors[path] > 10 * FLOAT32


@pytest.mark.parametrize(
    ("module", "name", "change"),
    [
        ("factory.recognition.prototypes", "with_margin", lambda cosine: cosine * 1.0001),
        ("factory.recognition.prototypes", "take", lambda cosine: cosine * 1.0001),
    ],
)
def test_a_classifier_that_computes_otherwise_shows(monkeypatch, module, name, change):
    import importlib

    room = importlib.import_module(module)
    plain = getattr(room, name)
    monkeypatch.setattr(room, name, lambda *a, **k: change(plain(*a, **k)))
    assert max(correctness.classifier(CPU).values()) > FLOAT32


def test_scores_that_are_computed_otherwise_show(monkeypatch):
    from factory.quality import pixels

    monkeypatch.setattr(pixels, "LUMA", (299, 587, 115))
    errors = correctness.scores(CPU, 2, 50)
    assert errors["brightness"] > 5e-5
    assert errors["own_cosine"] < 1e-5


def test_a_maker_is_opened_over_the_people_given():
    maker = open_maker(CPU, "fp32", random_people(100), random_people(7, seed=2))
    batch, unit_BD, found = maker.whole(shots_for(2, small=True), 2)
    assert batch.images_BHWC.shape == (2, 112, 112, 3)
    assert unit_BD.shape == (2, 256)
    assert [one.nearest_other in range(100) for one in found] == [True, True]
