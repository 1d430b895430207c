"""Collectives of one process and of two, and what a device or a batch must satisfy."""

from __future__ import annotations

import pytest
import torch

from factory.config import ComputeConfig
from factory.errors import ConfigError
from factory.training import distributed, engine
from factory.training.distributed import (
    FirstRankSays,
    GatherRows,
    SumParts,
    SumWhole,
    all_agree,
    first_rank_gives,
    first_rank_says,
    gather_rows,
    gather_values,
    max_over_ranks,
    mean_over_ranks,
    micro_batch,
    pick_device,
)
from tests.ranks import run_ranks


def collectives() -> dict[str, object]:
    """Values and gradients on one rank; its own number is rank + 1."""
    own = torch.tensor([[float(distributed.rank() + 1)]], requires_grad=True)
    gradients = {}
    for name, function in (("rows", GatherRows), ("parts", SumParts), ("whole", SumWhole)):
        answer = function.apply(own)
        weight = torch.full_like(answer, float(distributed.rank() + 1))
        gradients[name] = torch.autograd.grad((answer * weight).sum(), own)[0].item()
    return {
        "gathered": gather_rows(own).flatten().tolist(),
        "mean": mean_over_ranks(own).item(),
        "max": max_over_ranks(own).item(),
        "first": first_rank_says(distributed.rank() == 0),
        "gradients": gradients,
    }


def test_two_ranks():
    ranks = run_ranks(f"{__name__}:collectives", 2)
    for rank, values in enumerate(ranks):
        assert values["gathered"] == [1.0, 2.0]
        assert (values["mean"], values["max"], values["first"]) == (1.5, 2.0, True)
        summed = {"rows": 2 * 3.0, "parts": 3.0}  # rows: times the ranks an engine divides by
        assert values["gradients"] == summed | {"whole": rank + 1.0}


def one_gives_up() -> None:
    if distributed.rank() == 1:
        raise ConfigError("source.path: nobody")
    gather_rows(torch.zeros(1))  # which never ends with an answer


@pytest.mark.timeout(60)
def test_a_rank_that_fails_ends_at_once_and_says_why():
    with pytest.raises(AssertionError, match=r"rank 1: error: source.path: nobody") as failed:
        run_ranks(f"{__name__}:one_gives_up", 2)
    assert "rank 0: Traceback" in str(failed.value)  # it lost the other, and ended too


def test_one_process_needs_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert mean_over_ranks(torch.tensor(2.0)) == 2.0
    assert collectives()["gradients"] == {"rows": 1.0, "parts": 1.0, "whole": 1.0}
    assert not first_rank_says(False)


def test_batches_must_be_cut_evenly(monkeypatch):
    assert micro_batch(12, ComputeConfig(accumulate=3), "k") == 4
    with pytest.raises(ConfigError, match=r"recognizer\.batch_size: got 10 for 4 ranks"):
        micro_batch(10, ComputeConfig(num_ranks=4), "recognizer.batch_size")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match="for 8 ranks and compute"):
        micro_batch(4, ComputeConfig(), "k")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"compute\.device"):
        pick_device(ComputeConfig(device="cuda"))


def collectives_on_gpus() -> list[list[str]]:
    """What two ranks of a node do with their GPUs, by a fake torch.cuda of two and real gloo.

    The fake knows the current GPU, as torch does: 0 until it is set.
    """
    import deepspeed

    done: list[list[str]] = []
    current = torch.device("cuda", 0)

    def set_device(device: torch.device) -> None:
        nonlocal current
        current = torch.device(device)
        done.append(["current", str(current)])

    def init_distributed(dist_backend: str, verbose: bool, timeout: object) -> None:
        done.append(["join", dist_backend, str(current)])
        torch.distributed.init_process_group("gloo")

    def to_gpu(tensor: torch.Tensor, device: torch.device | None = None) -> torch.Tensor:
        where = torch.device("cuda") if device is None else torch.device(device)
        if where.type == "cuda":
            done.append(["move", str(current if where.index is None else where)])
        return tensor

    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 2
    torch.cuda.set_device = set_device
    torch.cuda.current_device = lambda: current.index
    torch.Tensor.to = torch.Tensor.cuda = to_gpu
    deepspeed.init_distributed = init_distributed
    engine.join(ComputeConfig(device="cuda"))
    torch.distributed.get_backend = lambda: "nccl"
    assert first_rank_says(distributed.rank() == 0)
    assert all_agree(3)
    return done


def test_each_rank_of_a_node_takes_its_own_gpu_before_it_joins_the_others():
    for rank, done in enumerate(run_ranks(f"{__name__}:collectives_on_gpus", 2, joined=False)):
        gpu = f"cuda:{rank}"
        assert done == [["current", gpu], ["join", "nccl", gpu], ["move", gpu], ["move", gpu]]


def test_more_processes_than_gpus_on_a_node_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device(ComputeConfig()) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"compute\.device: .* process 3 of its node, .* 2 GPU"):
        pick_device(ComputeConfig())


def objects() -> dict[str, object]:
    own = distributed.rank()
    return {"first": first_rank_gives(["of", own]), "all": gather_values({"rank": own})}


def test_objects_of_rank_0_and_of_all():
    for answer in run_ranks(f"{__name__}:objects", 2):
        assert answer == {"first": ["of", 0], "all": [{"rank": 0}, {"rank": 1}]}
    assert objects() == {"first": ["of", 0], "all": [{"rank": 0}]}


def test_on_gpus_the_first_ranks_answer_is_one_step_old_and_can_be_forgotten(monkeypatch):
    """The broadcast and its event need two GPUs; here what is sent arrives as it was sent."""
    says = FirstRankSays()
    assert says(True)
    assert not says(False)  # on CPUs at once
    monkeypatch.setattr(distributed, "collective_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(says, "_ask", lambda answer, device: lambda: answer)
    assert [says(answer) for answer in (True, False, True, True)] == [False, True, False, True]
    says.forget()
    assert [says(answer) for answer in (False, True)] == [False, False]
