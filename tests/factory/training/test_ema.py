"""The moving average follows by its decay, cut over ranks and whole again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from factory.training.distributed import wait_for_all
from factory.training.ema import EMA, exponent_of, owners
from tests.ranks import run_ranks


def test_ema_follows_by_its_warmed_up_decay(tmp_path):
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = EMA(module, 0.9)
    torch.nn.init.ones_(module.weight)
    ema.update(module)
    assert float(ema.shadow["weight"]) == pytest.approx(1 - 2 / 11)
    again = EMA(module, 0.9)
    ema.save(tmp_path)
    again.load(tmp_path)
    assert again.num_updates == 1
    assert torch.equal(again.shadow["weight"], ema.shadow["weight"])


@pytest.mark.parametrize("sigma_rel", [0.05, 0.1, 0.25])
def test_the_exponent_is_that_of_edm2(sigma_rel):
    """Its power of time has the wanted standard deviation, by the moments of t^gamma on [0, 1]."""
    gamma = exponent_of(sigma_rel)
    mean, square = ((gamma + 1) / (gamma + 1 + k) for k in (1, 2))
    assert np.sqrt(square - mean**2) == pytest.approx(sigma_rel, rel=1e-6)
    assert exponent_of(0.1) == pytest.approx(6.94, abs=0.005)  # EDM2, section 3.1
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.005)


@pytest.mark.parametrize("decay", [0.0, 0.999])
def test_an_average_by_sigma_rel_is_as_long_as_the_steps_so_far(decay):
    """Of weights t at step t it is (gamma+1)/(gamma+2) of the last one, at 50 and at 500 steps."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, -1000.0)  # the start is forgotten at once
    ema = EMA(module, decay, sigma_rel=0.1)
    for step in range(1, 501):
        torch.nn.init.constant_(module.weight, float(step))
        ema.update(module)
        if step in (50, 500):
            gamma = exponent_of(0.1)
            wanted = (gamma + 1) / (gamma + 2)
            # the sum over steps differs from the integral by half a step
            assert float(ema.shadow["weight"]) / (step + 0.5) == pytest.approx(wanted, rel=2e-3)


def test_the_warmed_up_decay_forgets_the_start_of_few_steps():
    """Up to 9000 steps by .999 it is the power of time with gamma 8: sigma_rel .09."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = EMA(module, 0.999)
    torch.nn.init.ones_(module.weight)
    for _ in range(100):
        ema.update(module)
    assert float(ema.shadow["weight"]) == pytest.approx(1, abs=1e-6)
    assert exponent_of(0.0905) == pytest.approx(8, abs=0.02)
    assert 1 - ema.current_decay == pytest.approx(9 / 110)


def average_over_ranks(folder: str) -> dict[str, object]:
    """A few updates of a network, the average saved, read again by everybody."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    ema = EMA(module, 0.9)
    for _ in range(3):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 1
        ema.update(module)
    ema.save(Path(folder))
    again = EMA(module, 0.9)
    wait_for_all()
    again.load(Path(folder))
    whole = ema.whole()
    assert all(torch.equal(again.whole()[name], value) for name, value in whole.items())
    return {
        "mine": sorted(ema.shadow),
        "whole": {name: value.flatten().tolist() for name, value in whole.items()},
    }


def test_an_average_is_cut_over_ranks_and_whole_again(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone = average_over_ranks(str(tmp_path / "one"))
    first, second = run_ranks(
        f"{__name__}:average_over_ranks", 2, {"folder": str(tmp_path / "two")}
    )
    assert first["whole"] == second["whole"] == alone["whole"]
    assert sorted(first["mine"] + second["mine"]) == alone["mine"]
    assert set(first["mine"]) != set(alone["mine"])  # nobody keeps all
    states = [torch.load(tmp_path / name / "ema.pt", weights_only=True) for name in ("one", "two")]
    assert states[0]["num_updates"] == states[1]["num_updates"] == 3
    for name, value in states[0]["shadow"].items():
        assert torch.equal(states[1]["shadow"][name], value)


def test_owners_share_evenly():
    sizes = {"a": 100, "b": 60, "c": 50, "d": 10}
    assert owners(sizes, 2) == {"a": 0, "b": 1, "c": 1, "d": 0}
    assert owners(sizes, 1) == dict.fromkeys(sizes, 0)
