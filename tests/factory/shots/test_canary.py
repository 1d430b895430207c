"""What a machine says of itself, and how two canaries are compared in words."""

from __future__ import annotations

from dataclasses import replace

import torch

from factory.shots import canary as module
from factory.shots.canary import Canary, Machine, this_machine

GPU = {
    "name": "NVIDIA H100 80GB HBM3",
    "capability": "9.0",
    "num_multiprocessors": "132",
    "cuda": "12.4",
    "cudnn": "90100",
    "driver": "550.90.07",
}
PLANNED = Canary({"images": "a", "scores": "b"}, Machine("x86_64 Xeon", ("avx", "sse"), GPU, {}))


def here(digests=None, **machine) -> Canary:
    return Canary(digests or {"images": "z", "scores": "b"}, replace(PLANNED.machine, **machine))


def test_an_equal_canary_is_no_difference_whatever_machine_drew_it():
    other = here(
        dict(PLANNED.digests), cpu="aarch64", cpu_flags=(), gpu={}, variables={"MKL_X": "1"}
    )
    assert PLANNED.difference(other) is None


def test_a_differing_canary_names_digests_and_likely_causes():
    assert PLANNED.difference(here()) == (
        "canary: other images than planned; the two say the same of themselves"
    )
    card = here(gpu=GPU | {"name": "NVIDIA A100"}, variables={"NVIDIA_TF32_OVERRIDE": "0"})
    assert PLANNED.difference(card) == (
        "canary: other images than planned; NVIDIA_TF32_OVERRIDE: '0' here, not set in the plan; "
        "gpu.name: 'NVIDIA A100' here, 'NVIDIA H100 80GB HBM3' in the plan"
    )
    flags = here(cpu_flags=("amx", "sse"))
    assert PLANNED.difference(flags).endswith(
        "cpu_flags: this machine lacks avx; cpu_flags: this machine adds amx"
    )
    assert "other images, scores than planned" in PLANNED.difference(here({"encoded": "b"}))


def test_a_canary_round_trip():
    assert Canary.from_dict(PLANNED.to_dict()) == PLANNED


def test_only_variables_that_choose_kernels_are_kept(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setenv("MKL_NUM_THREADS", "4")
    monkeypatch.setenv("DNNL_VERBOSE", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    variables = this_machine("cpu").variables
    assert {"ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE"} <= {*variables}
    others = {"AWS_SECRET_ACCESS_KEY", "CUDA_VISIBLE_DEVICES", "MKL_NUM_THREADS", "DNNL_VERBOSE"}
    assert not others & {*variables}


def test_a_gpu_is_described_for_the_reader(monkeypatch, tmp_path):
    properties = {
        "name": "NVIDIA H100",
        "major": 9,
        "minor": 0,
        "multi_processor_count": 132,
    }
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert this_machine("cuda").gpu == {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: type("Properties", (), properties)
    )
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri May 31\n")
    monkeypatch.setattr(module, "GPU_DRIVER", driver)
    gpu = this_machine("cuda").gpu
    assert {name: gpu[name] for name in ("name", "capability", "num_multiprocessors")} == {
        "name": "NVIDIA H100",
        "capability": "9.0",
        "num_multiprocessors": "132",
    }
    assert gpu["driver"] == "550.90.07"
    assert this_machine("cpu").gpu == {}


def test_cpu_flags_are_those_of_the_first_cpu(monkeypatch, tmp_path):
    listed = tmp_path / "cpuinfo"
    one = "processor\t: {}\nmodel name\t: Some CPU\nflags\t\t: sse avx{}\n"
    listed.write_text(one.format(0, "") + "\n" + one.format(1, " other"))
    monkeypatch.setattr(module, "CPU_INFO", listed)
    module._cpu.cache_clear()
    machine = this_machine("cpu")
    module._cpu.cache_clear()
    assert machine.cpu.endswith("Some CPU")
    assert machine.cpu_flags == ("avx", "sse")
