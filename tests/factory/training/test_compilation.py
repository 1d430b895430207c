"""A network is compiled where this saves more time than it takes, by a clock of the test."""

from __future__ import annotations

import json
import threading

import pytest
import torch
from torch import nn

from factory.store import atomic
from factory.training import compilation
from factory.training.compilation import (
    ASSUMED,
    Compilation,
    CompileCost,
    KeptCosts,
    announced,
    missing_compiler,
    seconds_saved,
)

CPU = torch.device("cpu")


class Training:
    """Steps of 1 s, and .25 s once the network is compiled; the first such takes 40 s more."""

    def __init__(self, choice, folder, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        monkeypatch.setenv("CXX", "true")  # a command there is, which nothing here calls
        self.now, self.lines, self.compiled_at, self.steps = 0.0, [], None, []
        self.network = nn.Linear(3, 2)
        self.network.compile = self.compile
        self.compilation = Compilation(
            self.network, choice, CPU, self.lines.append, clock=lambda: self.now
        )

    def compile(self):
        self.compiled_at = len(self.steps)

    def run(self, first, total):
        for step in self.compilation.over(iter(range(first, total)), total - first):
            if self.compiled_at is None:
                self.now += 1.0
            else:
                self.now += 40.25 if len(self.steps) == self.compiled_at else 0.25
            self.steps.append(step)
        return self


@pytest.fixture
def training(tmp_path, monkeypatch):
    """Function of compute.compile -> a training whose cache is the test's."""
    return lambda choice: Training(choice, tmp_path, monkeypatch)


@pytest.fixture
def assumed(monkeypatch):
    """A compile is thought to take 100 s and to halve a step."""
    monkeypatch.setitem(ASSUMED, "cpu", CompileCost(100.0, 0.5))


def test_seconds_saved_are_those_of_all_steps_less_the_compile():
    cost = CompileCost(compile_s=100.0, step_ratio=0.6)
    assert seconds_saved(1000, 0.5, cost) == pytest.approx(1000 * 0.5 * 0.4 - 100)
    assert seconds_saved(500, 0.5, cost) == pytest.approx(0.0)
    assert seconds_saved(0, 0.5, cost) == -100.0
    assert seconds_saved(10_000, 0.5, CompileCost(100.0, 1.0)) == -100.0  # no faster: never


@pytest.mark.parametrize(("total", "at"), [(205, None), (206, 5)])
def test_a_compile_is_begun_where_it_saves_more_than_it_takes(training, assumed, total, at):
    """Two steps to warm up, three measured; 200 others would save 200 x 1 s / 2, which it takes."""
    run = training("auto").run(0, total)
    assert run.steps == list(range(total))
    assert run.compiled_at == at
    begun = "compiling: 201 steps of 1 s would take 100 s instead of 201 s"
    left_out = "not compiled: 200 steps of 1 s would take 100 s instead of 200 s"
    expected = f"compute.compile=auto: {left_out if at is None else begun}, after 100 s of"
    assert run.lines[0].startswith(expected)


def test_a_resumed_training_counts_the_steps_that_are_left(training, assumed):
    assert training("auto").run(1000, 1205).compiled_at is None
    assert training("auto").run(1000, 1206).compiled_at == 5


@pytest.mark.parametrize("total", [0, 1, 3, 5, 6, 7, 9, 12])
@pytest.mark.parametrize("choice", ["auto", True, False])
def test_short_trainings_have_all_their_steps_once(training, choice, total, monkeypatch):
    monkeypatch.setitem(ASSUMED, "cpu", CompileCost(0.0, 0.0))  # as soon as there is a step left
    run = training(choice).run(0, total)
    assert run.steps == list(range(total))
    assert run.compiled_at == {True: 0, False: None, "auto": 5 if total > 5 else None}[choice]


def test_what_a_compile_took_is_kept_for_the_next_training(training, assumed):
    first = training("auto").run(0, 300)
    assert first.lines[1] == "compiled in 40 s; a step takes 0.25 s instead of 1 s"
    second = training("auto")
    cost, origin = second.compilation._costs.expected()
    assert (cost.compile_s, cost.step_ratio, origin) == (40.0, 0.25, "as measured before")
    assert second.run(0, 58).compiled_at is None  # 53 s x .75 is less than 40 s
    assert training("auto").run(0, 59).compiled_at == 5


def test_the_worst_of_the_last_five_is_expected(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    costs = KeptCosts(nn.Linear(3, 2), CPU)
    for seconds, ratio in (
        (900.0, 0.9),
        (10.0, 0.5),
        (20.0, 0.4),
        (5.0, 0.8),
        (1.0, 0.1),
        (2.0, 0.2),
    ):
        costs.keep(CompileCost(seconds, ratio))
    assert costs.expected()[0] == CompileCost(20.0, 0.8)  # the first is the sixth from the end
    assert KeptCosts(nn.Linear(3, 4), CPU).expected() == (ASSUMED["cpu"], "assumed")
    (file,) = (tmp_path / "face-factory" / "compiles").iterdir()
    for broken in ("no JSON", "[{}]", "7", json.dumps([{"compile_s": 1}])):
        file.write_text(broken)
        assert costs.expected()[1] == "assumed"


def test_a_cache_that_cannot_be_written_is_said_once(
    training, assumed, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(atomic, "_noted", set())
    (tmp_path / "face-factory").write_text("a file in the place of the folder")
    for _ in range(2):
        assert training("auto").run(0, 300).compiled_at == 5
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1
    assert notes[0].startswith("note: XDG_CACHE_HOME: not kept for the next time")


def test_without_a_compiler_auto_goes_on_uncompiled(training, assumed, monkeypatch):
    run = training("auto")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert run.run(0, 1000).compiled_at is None
    assert run.lines[0].endswith("(assumed); there is no C++ compiler no-such-compiler")
    assert missing_compiler(CPU) == "there is no C++ compiler no-such-compiler"


def test_time_is_told_while_a_network_is_compiled(monkeypatch):
    monkeypatch.setattr(compilation, "EVERY_S", 0.001)
    told, lines = threading.Event(), []

    def log(line):
        lines.append(line)
        told.set()

    with announced(log):
        assert told.wait(60)
    assert lines[0].startswith("compiling ... ")
    assert lines[0].endswith(" s")
    assert "compiling" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.slow
def test_a_compiler_that_fails_does_not_end_a_training_of_auto(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setitem(ASSUMED, "cpu", CompileCost(0.0, 0.0))
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    network, lines = nn.Sequential(nn.Linear(3, 3), nn.GELU()), []
    x = torch.ones(2, 3)
    expected = network(x).detach()
    for _ in Compilation(network, "auto", CPU, lines.append).over(iter(range(8)), 8):
        assert torch.equal(network(x).detach(), expected)
    assert lines[0].startswith("compute.compile=auto: compiling")
