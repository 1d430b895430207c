"""A run refuses early, draws by step, resumes exactly, and writes its result."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.errors import CheckpointError, ConfigError
from factory.seeds import torch_generator
from factory.training import run as running
from factory.training.batch_order import BatchOrder
from factory.training.run import TrainingRun
from tests.conftest import PX
from tests.ranks import run_ranks

NUM_FACES = 12


class Mean(torch.nn.Module):
    """Learns the mean of numbers by one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(1, 1, bias=False)

    def forward(self, x_B: torch.Tensor, offset: torch.Tensor | None = None) -> torch.Tensor:
        wanted_B = x_B if offset is None else x_B + offset
        return (self.network.weight.squeeze() - wanted_B).square().mean()


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1.0)


@pytest.fixture
def config(people, tmp_path):
    """Function of extra dotlist items -> a config of batches of six."""

    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        settings = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
        settings += ["generator.batch_size=6", "compute.precision=fp32", "compute.device=cpu"]
        settings += [f"training.out={tmp_path / 'out'}", "training.max_steps=4", *dotlist]
        return load(tmp_path / "c.yaml", settings)

    return make


def begin(config, ema=None, first_weight=None, grad_clip=1.0) -> TrainingRun:
    run = TrainingRun(config, config.generator, lambda line: None)
    run.resume(network="digest")
    run.seed()
    model = Mean()
    if first_weight is not None:
        torch.nn.init.constant_(model.network.weight, first_weight)
    run.start(model, sgd, part="network", ema=ema, grad_clip=grad_clip)
    return run


def take(run) -> list[tuple[int, float, list[list[int]], list[float]]]:
    """All steps of a run: (index, progress, rows of the parts, numbers drawn)."""
    taken = []
    for step in run.steps():
        numbers = [torch.randn(len(part), generator=step.draw) for part in step.parts]
        for x_B in numbers:
            run.backward(run(x_B))
        run.update(0.1)
        drawn = torch.cat(numbers).tolist()
        taken.append((step.index, step.progress, [part.tolist() for part in step.parts], drawn))
    return taken


@pytest.mark.s3
def test_a_run_goes_on_from_a_bucket_and_writes_its_result_there(
    config, s3_config, tmp_path, monkeypatch
):
    bucket = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint_url)
    written = {}
    for out in (f"{bucket.url}/run", str(tmp_path / "run")):
        for node, max_steps in (("one", 2), ("other", 4)):
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / node))
            run = begin(config(f"training.out={out}", f"training.max_steps={max_steps}"), ema=0.5)
            assert [index for index, *_ in take(run)] == list(range(max_steps - 2, max_steps))
        run.save("generator", run.weights(), config={"space": "pixels"}, lineage={})
        written[out] = checkpoint.load(out, "generator", "generator.checkpoint")
    there, here = written.values()
    assert torch.equal(there.tensors["weight"], here.tensors["weight"])
    assert (there.step, there.config, there.sha256) == (4, here.config, here.sha256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("compute.accumulate=4", r"generator\.batch_size: got 6 for 1 ranks and compute\.accumul"),
        ("compute.num_ranks=4", r"generator\.batch_size: got 6 for 4 ranks"),
    ],
)
def test_an_uneven_batch_is_refused_before_faces_are_read(config, monkeypatch, change, message):
    monkeypatch.setattr(running, "open_faces", lambda config: pytest.fail("read faces"))
    made = config(change)
    with pytest.raises(ConfigError, match=message):
        TrainingRun(made, made.generator, print)


def test_a_batch_that_few_faces_make_uneven_is_refused(config):
    made = config("generator.batch_size=16", "compute.accumulate=8")
    with pytest.raises(ConfigError, match=rf"generator\.batch_size: got {NUM_FACES} for 1 ranks"):
        TrainingRun(made, made.generator, print)


def test_steps_draw_as_their_seed_and_index_say(config):
    run = begin(config("compute.accumulate=2", "training.seed=5"))
    assert (run.total, len(run.faces), len(run.heldout)) == (4, NUM_FACES, 0)
    order = BatchOrder(5, NUM_FACES, 6)
    for index, progress, parts, drawn in take(run):
        assert progress == index / 4
        assert np.concatenate(parts).tolist() == order.batch(index).tolist()
        assert [len(part) for part in parts] == [3, 3]
        draw = torch_generator(5, "step", index, 0)
        wanted = torch.cat([torch.randn(3, generator=draw) for _ in range(2)])
        assert drawn == wanted.tolist()


def test_numpy_draws_by_the_same_seed(config):
    run = begin(config("training.seed=5"))
    for step in run.steps():
        wanted = np.random.default_rng(torch_generator(5, "step", step.index, 0).initial_seed())
        assert step.rng.random() == wanted.random()
        run.backward(run(torch.zeros(6)))
        run.update(0.1)


def test_the_seed_decides_the_first_weights(config):
    first, again = (begin(config(f"training.out=runs/none{i}")).weights() for i in range(2))
    other = begin(config("training.seed=1", "training.out=runs/none2")).weights()
    assert torch.equal(first["weight"], again["weight"])
    assert not torch.equal(first["weight"], other["weight"])


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_resumed_run_ends_as_a_whole_one(config, tmp_path, ema):
    def result(name, *stops):
        for stop in stops:
            run = begin(
                config(f"training.out={tmp_path / name}", f"training.max_steps={stop}"), ema
            )
            taken = take(run)
        assert taken[-1][0] == 3
        return run.weights()["weight"]

    assert torch.equal(result("whole", 4), result("parts", 1, 3, 4))


def test_another_source_or_network_is_another_training(config):
    take(begin(config()))
    run = TrainingRun(config(), config().generator, print)
    with pytest.raises(CheckpointError, match=r"faces \(network: 'digest' there, 'another' asked"):
        run.resume(network="another")
    closer = config(f"source.image_px={2 * PX}", "source.resize=true")
    named = r"faces \(source\.alignment\.resize: False there, True asked for\)"
    with pytest.raises(CheckpointError, match=named):
        TrainingRun(closer, closer.generator, print).resume(network="digest")


@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_update_is_the_mean_gradient_of_the_parts_and_moves_the_average(config, ema):
    """w <- w - lr * 2 * (w - mean of x); an average of decay .9 moves by 1 - 2/11 at first."""
    made = config("compute.accumulate=2", "training.max_steps=1")
    run = begin(made, ema=ema, first_weight=1.0, grad_clip=0.0)
    for step in run.steps():
        for part, x in zip(step.parts, (2.0, 4.0), strict=True):
            run.backward(run(torch.full((len(part),), x), None))
        run.update(0.1)
    moved = 0.1 * 2 * (3.0 - 1.0)
    wanted = 1.0 + moved * (1 if ema is None else 1 - 2 / 11)
    assert float(run.weights()["weight"]) == pytest.approx(wanted)
    assert run.state.final_loss == pytest.approx((1.0 + 9.0) / 2)


def test_the_history_has_each_step_alone(config, tmp_path):
    run = begin(config("training.max_steps=2", "training.log_every=1"), first_weight=1.0)
    for step, x in zip(run.steps(), (2.0, 4.0), strict=True):
        for part in step.parts:
            run.backward(run(torch.full((len(part),), x)))
        run.update(0.0)
    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(entry["loss"], entry["grad_norm"]) for entry in entries] == [(1.0, 2.0), (9.0, 6.0)]
    assert [entry["lr"] for entry in entries] == [0.0, 0.0]


def of_rows(dotlist: list[str], file: str) -> dict[str, object]:
    """The result of a run that learns the numbers of its rows, and of its save."""
    run = begin(load(file, dotlist), ema=0.5, first_weight=0.0, grad_clip=0.0)
    for step in run.steps():
        for part in step.parts:
            run.backward(run(torch.from_numpy(part).float()))
        run.update(0.1)
    saved = run.save("generator", run.weights(), config={}, lineage={})
    return {"weight": float(run.weights()["weight"]), "saved": sorted(saved)}


def test_two_ranks_cut_the_batch_and_the_first_one_writes(people, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("{}\n")
    dotlist = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
    dotlist += ["generator.batch_size=6", "compute.precision=fp32", "compute.device=cpu"]
    dotlist += ["training.max_steps=4"]
    alone = of_rows([*dotlist, f"training.out={tmp_path / 'one'}"], str(file))
    arguments = {"dotlist": [*dotlist, f"training.out={tmp_path / 'two'}"], "file": str(file)}
    first, second = run_ranks(f"{__name__}:of_rows", 2, arguments)
    assert first["weight"] == second["weight"] == pytest.approx(alone["weight"], rel=1e-5)
    assert (first["saved"], second["saved"]) == (["final_loss", "hours"], [])


def test_the_result_is_written_with_its_metrics(config, tmp_path):
    run = begin(config(), ema=0.5)
    take(run)
    weights = run.weights()
    metrics = run.save(
        "generator", weights, config={"a": 1}, lineage={"b": "c"}, measured={"psnr_db": 3.0}
    )
    loaded = checkpoint.load(str(tmp_path / "out"), "generator", "k")
    assert torch.equal(loaded.tensors["weight"], weights["weight"])
    assert (loaded.config, loaded.lineage, loaded.step) == ({"a": 1}, {"b": "c"}, 4)
    assert loaded.metrics == metrics
    assert set(metrics) == {"psnr_db", "final_loss", "hours"}
    assert metrics["final_loss"] == run.state.final_loss
