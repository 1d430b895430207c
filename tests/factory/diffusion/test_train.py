"""The generator trains on drawn faces, resumes exactly, and draws and weighs as configured."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from factory import checkpoint
from factory.diffusion import train as training
from factory.diffusion import training_inputs
from factory.diffusion.similarity import similarity_loss
from factory.diffusion.train import GeneratorLoss, init_from, network_shape, train
from factory.diffusion.training_inputs import dropout
from factory.diffusion.uvit import Shape, UViT
from factory.errors import CheckpointError, ConfigError
from factory.recognition.embed import Recognizer
from factory.training.schedules import adamw
from tests.conftest import PX
from tests.factory.diffusion.conftest import CPU, quiet
from tests.recorded import record_batches


@pytest.mark.parametrize("space", ["pixels", "latents"])
def test_generator_trains_in_both_spaces(recipe, tmp_path, space):
    config = recipe(
        f"generator.space={space}",
        "generator.patch=2",
        "training.max_steps=30",
        "generator.epochs=100",
        "generator.identity_weight=0.1",
        "generator.identity_batch=2",
    )
    metrics = train(config, quiet)
    assert 0 < metrics["final_loss"] < 2
    metadata = checkpoint.read_metadata(str(tmp_path / "out"), "generator", "k")
    assert metadata["config"]["space"] == space
    assert ("autoencoder" in metadata["lineage"]) == (space == "latents")


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_resume_gives_the_same_weights(recipe, tmp_path, fraction):
    def weights(name, *stops):
        settings = [f"generator.identity_dropout={fraction}", "generator.decay_fraction=0"]
        settings += [f"training.out={tmp_path / name}"]
        for steps in stops:
            train(recipe(f"training.max_steps={steps}", *settings), quiet)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("whole", 6) == weights("parts", 2, 4, 6)


def test_the_optimizer_has_the_betas_of_the_recipe(recipe, monkeypatch):
    made = []
    monkeypatch.setattr(training, "adamw", lambda *given: made.append(given) or adamw(*given))
    train(recipe("training.max_steps=1", "generator.betas=[0.8,0.95]"), quiet)
    assert [given[2] for given in made] == [(0.8, 0.95)]


def test_dropout_keeps_the_mean():
    factors = dropout((500, 100), 0.25, torch.Generator().manual_seed(0))
    assert factors.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(factors.mean()) == pytest.approx(1, abs=0.01)


LONG = ("generator.batch_size=12", "training.max_steps=40", "generator.epochs=100")


def batches_of(monkeypatch, config):
    """What a training gives to its loss."""
    with monkeypatch.context() as patched:
        recorded = record_batches(patched, training, "GeneratorLoss")
        train(config, quiet)
    return recorded


def test_conditions_are_dropped_as_often_as_told(recipe, monkeypatch):
    """For guidance: a sample of a dropped condition has no similarity, but keeps its identity."""
    settings = ("generator.similarity_tokens=2", "generator.condition_dropout=0.3", *LONG)
    batches = batches_of(monkeypatch, recipe(*settings))
    condition, identity = batches.all("condition_BD"), batches.all("identity_BD")
    dropped = ~condition.any(1)
    assert len(dropped) == 480
    assert float(dropped.float().mean()) == pytest.approx(0.3, abs=0.08)  # four deviations
    assert not batches.all("m_B")[dropped].any()
    torch.testing.assert_close(condition[~dropped], identity[~dropped])
    torch.testing.assert_close(identity.norm(dim=1), torch.ones(480))


def test_no_condition_is_dropped_without_a_dropout(recipe, monkeypatch):
    batches = batches_of(monkeypatch, recipe("generator.condition_dropout=0", *LONG))
    assert batches.all("condition_BD").any(1).all()


def test_the_identity_is_dropped_out_where_told(recipe, monkeypatch):
    settings = ("training.max_steps=2", "generator.identity_dropout=.25")
    factors = batches_of(monkeypatch, recipe(*settings)).all("dropout_BW").unique()
    assert factors.tolist() == pytest.approx([0, 4 / 3])


def test_half_of_the_faces_are_mirrored(recipe, monkeypatch):
    """Each of twelve images and its mirror, in a space of pixels, whose rows are told apart."""
    config = recipe("generator.space=pixels", *LONG, "training.max_steps=12")
    x = batches_of(monkeypatch, config).all("x_BCHW")
    different, counts = torch.unique(x.flatten(1), dim=0, return_counts=True)
    assert (len(different), len(x)) == (2 * 12, 12 * 12)
    torch.testing.assert_close(different, torch.unique(x.flip(3).flatten(1), dim=0))
    assert counts.min() >= 2


def test_learning_rates_and_timesteps_are_those_of_the_recipe(recipe, monkeypatch):
    """A linear rise over warmup_steps, and a fall to 0 over the last decay_fraction."""
    rates, laws, update = [], [], training.TrainingRun.update
    draw = training_inputs.draw_timesteps

    def updated(run, lr):
        rates.append(lr)
        update(run, lr)

    def drawn(count, num_timesteps, law, generator):
        laws.append((count, num_timesteps, law))
        return draw(count, num_timesteps, law, generator)

    monkeypatch.setattr(training.TrainingRun, "update", updated)
    monkeypatch.setattr(training_inputs, "draw_timesteps", drawn)
    settings = ("generator.warmup_steps=4", "generator.decay_fraction=0.5", "generator.lr=1e-3")
    law = "generator.time_sampling=logit_normal"
    train(recipe(*settings, law, "training.max_steps=8", "generator.epochs=100"), quiet)
    wanted = [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]
    assert rates == pytest.approx([1e-3 * factor for factor in wanted])
    assert set(laws) == {(6, 100, "logit_normal")}


def test_the_identity_loss_is_of_the_first_samples_alone(recipe):
    """generator.identity_batch of them; the denoising error is of all."""
    config = recipe("generator.space=pixels", "generator.identity_batch=2")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    x, t = torch.rand(4, 3, PX, PX) * 2 - 1, torch.tensor([10, 50, 90, 20])
    wanted = recognizer.unit_features(x)
    inputs = (x, torch.randn_like(x), t, torch.ones(4, recognizer.dim), wanted, None)
    plain, weighted = (plain_loss(config, recognizer, w)(*inputs)[0] for w in (0.0, 0.5))
    black = recognizer.unit_features(torch.zeros_like(x))
    distance = (black - wanted)[:2].square().sum(1).mean()
    torch.testing.assert_close(weighted - plain, 0.5 * distance)


def test_the_identity_loss_is_of_the_estimated_image(recipe):
    """An untrained network predicts v = 0, so x0^ = sqrt(a) x_t."""
    config = recipe("generator.space=pixels")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    losses = []
    for weight in (0.0, 0.5):
        generator = replace(config.generator, identity_weight=weight, prediction="v")
        shape = network_shape(config, 3, PX, recognizer.dim)
        model = GeneratorLoss(generator, shape, lambda y: y, recognizer)
        torch.manual_seed(1)
        x, noise = torch.rand(3, 3, PX, PX) * 2 - 1, torch.randn(3, 3, PX, PX)
        t, wanted = torch.tensor([10, 50, 90]), recognizer.unit_features(x)
        losses.append(model(x, noise, t, torch.ones(3, 16), wanted, None)[0])
    x_t = model.schedule.add_noise(x, noise, t)
    signal = model.schedule.alpha_bar_T[t].sqrt().float().view(3, 1, 1, 1)
    distance = (recognizer.unit_features(signal * x_t) - wanted).square().sum(1).mean()
    torch.testing.assert_close(losses[1] - losses[0], 0.5 * distance, rtol=1e-3, atol=1e-5)


def plain_loss(config, recognizer, identity_weight):
    """The loss in a space of pixels, predicting x0: an untrained network predicts zero."""
    generator = replace(config.generator, identity_weight=identity_weight, prediction="x0")
    torch.manual_seed(0)
    shape = network_shape(config, 3, PX, recognizer.dim)
    return GeneratorLoss(generator, shape, lambda y: y, recognizer)


def test_identity_loss_is_equation_8(recipe):
    config = recipe("generator.space=pixels")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    x = torch.rand(3, 3, PX, PX) * 2 - 1
    t = torch.tensor([10, 50, 90])
    noise, wanted = torch.randn_like(x), recognizer.unit_features(x)
    plain, weighted = (
        plain_loss(config, recognizer, weight)(x, noise, t, wanted, wanted, None)[0]
        for weight in (0.0, 0.5)
    )
    black = recognizer.unit_features(torch.zeros_like(x))
    distance = (black - wanted).square().sum(1).mean()
    torch.testing.assert_close(plain, x.square().mean())
    torch.testing.assert_close(weighted - plain, 0.5 * distance)


def test_a_sample_whose_condition_was_dropped_bears_no_identity_loss(recipe):
    """It is to be anybody; with prototypes, eq 8 would make nobody somebody in particular."""
    config = recipe("generator.space=pixels")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    model = plain_loss(config, recognizer, 0.5)
    x, t = torch.rand(3, 3, PX, PX) * 2 - 1, torch.tensor([10, 50, 90])
    prototype = torch.nn.functional.normalize(torch.randn(3, recognizer.dim), dim=1)
    given = prototype * torch.tensor([[1.0], [0.0], [1.0]])
    loss, _ = model(x, torch.randn_like(x), t, given, prototype, torch.zeros(3))
    black = recognizer.unit_features(torch.zeros_like(x))
    error = (black - prototype).square().sum(1)
    torch.testing.assert_close(loss, x.square().mean() + 0.5 * (error[0] + error[2]) / 3)


def test_a_measured_label_is_learned_by_denoising_alone(recipe):
    """Nothing is decoded, so there is no recognizer to fool."""
    config = recipe("generator.space=pixels", "generator.similarity_tokens=2")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    generator = replace(config.generator, similarity_label="measured", similarity_weight=1.0)

    def decode(x):
        raise AssertionError("decoded")

    model = GeneratorLoss(generator, network_shape(config, 3, PX, 16), decode, recognizer)
    x, noise, t = torch.rand(3, 3, PX, PX), torch.randn(3, 3, PX, PX), torch.tensor([10, 50, 90])
    unit = recognizer.unit_features(x)
    loss, error_B = model(x, noise, t, unit, unit, torch.full((3,), 0.5))
    torch.testing.assert_close(loss, error_B.mean())


@pytest.mark.parametrize("weighting", ["none", "min_snr", "x0"])
@pytest.mark.parametrize("prediction", ["x0", "v", "epsilon"])
def test_every_weighting_weighs_the_error_of_every_prediction(recipe, weighting, prediction):
    config = recipe("generator.space=pixels")
    generator = replace(config.generator, prediction=prediction, loss_weighting=weighting)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    model = GeneratorLoss(generator, network_shape(config, 3, PX, 16), lambda y: y, recognizer)
    x, noise, t = torch.rand(3, 3, PX, PX), torch.randn(3, 3, PX, PX), torch.tensor([10, 50, 90])
    identity = recognizer.unit_features(x)
    loss, error_B = model(x, noise, t, identity, identity, torch.zeros(3))
    target = model.schedule.target(x, noise, t, prediction)
    torch.testing.assert_close(error_B, target.square().mean((1, 2, 3)))
    weight_B = model.schedule.loss_weight(t, weighting, prediction)
    torch.testing.assert_close(loss, (weight_B.float() * error_B).mean())


def test_training_adds_the_similarity_loss_where_a_condition_is_given(recipe):
    config = recipe("generator.space=pixels", "generator.similarity_tokens=2")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    model = plain_loss(config, recognizer, 0.0)
    x, t = torch.rand(3, 3, PX, PX) * 2 - 1, torch.tensor([10, 50, 90])
    wanted, m = recognizer.unit_features(x), torch.tensor([0.2, -0.4, 0.0])
    given = wanted * torch.tensor([[1.0], [1.0], [0.0]])
    loss, error_B = model(x, torch.randn_like(x), t, given, wanted, m)
    torch.testing.assert_close(error_B, x.square().mean((1, 2, 3)))
    black = recognizer.unit_features(torch.zeros_like(x))
    aims = similarity_loss(black, wanted, m, t / config.generator.num_timesteps)
    expected = x.square().mean() + config.generator.similarity_weight * aims[:2].sum() / 3
    torch.testing.assert_close(loss, expected)


def test_a_generator_begins_with_another(recipe, tmp_path):
    first = recipe("training.max_steps=2", f"training.out={tmp_path / 'first'}")
    train(first, quiet)
    settings = ("generator.similarity_tokens=2", f"generator.init_from={tmp_path / 'first'}")
    train(recipe(*settings, "training.max_steps=1", "generator.lr=0"), quiet)
    before = checkpoint.load(str(tmp_path / "first"), "generator", "k").tensors
    after = checkpoint.load(str(tmp_path / "out"), "generator", "k")
    assert after.config["shape"]["similarity_tokens"] == 2
    assert set(before) < set(after.tensors)
    for name, tensor in before.items():
        torch.testing.assert_close(after.tensors[name], tensor)
    third = (
        settings[0],
        f"generator.init_from={tmp_path / 'out'}",
        f"training.out={tmp_path / 'third'}",
    )
    train(recipe(*third, "training.max_steps=1"), quiet)  # its start has a start itself


def test_a_generator_does_not_begin_with_a_student(recipe, weights, tmp_path):
    loaded = checkpoint.load(str(weights / "generator"), "generator", "k")
    loaded.config["distilled"] = {"num_steps": 4, "guidance": 1.5}
    checkpoint.save(tmp_path / "student", loaded)
    with pytest.raises(CheckpointError, match=r"^generator\.init_from: is a distilled student"):
        train(recipe(f"generator.init_from={tmp_path / 'student'}"), quiet)


def test_another_recognizer_gets_new_identity_layers_and_the_old_faces(recipe):
    first = recipe("generator.similarity_tokens=2", "training.max_steps=1")
    train(first, quiet)
    loaded = checkpoint.load(first.training.out, "generator", "k")
    network = UViT(Shape.from_config(loaded.config))
    torch.nn.init.normal_(network.joined_drive.weight)  # it begins at zero
    new = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    begin = (f"generator.init_from={first.training.out}", "generator.reset_identity_layers=true")
    generator = recipe(*begin, "generator.similarity_tokens=2").generator
    init_from(network, generator, loaded.lineage | {"recognizer": "0" * 64})
    for name, tensor in network.state_dict().items():
        reads = name.startswith(("identity.", "joined.", "joined_drive."))
        wanted = new if reads else loaded.tensors
        torch.testing.assert_close(tensor, wanted[name])
    with pytest.raises(CheckpointError, match=r"generator\.init_from: .* another recognizer or a"):
        init_from(network, generator, loaded.lineage | {"autoencoder": "0" * 64})
    with pytest.raises(ConfigError, match=r"generator\.reset_identity_layers: got true without"):
        recipe("generator.reset_identity_layers=true")


@pytest.mark.parametrize("same", [True, False])
def test_identity_layers_begin_anew_where_the_recognizer_is_another(recipe, same):
    """With reset_identity_layers=null; with the same recognizer all is taken over."""
    first = recipe("training.max_steps=1")
    train(first, quiet)
    loaded = checkpoint.load(first.training.out, "generator", "k")
    network = UViT(Shape.from_config(loaded.config))
    torch.nn.init.normal_(network.identity[0].weight)
    new = network.identity[0].weight.clone()
    begin = (f"generator.init_from={first.training.out}", "generator.reset_identity_layers=null")
    lineage = loaded.lineage if same else loaded.lineage | {"recognizer": "0" * 64}
    init_from(network, recipe(*begin).generator, lineage)
    wanted = loaded.tensors["identity.0.weight"] if same else new
    torch.testing.assert_close(network.identity[0].weight, wanted)


def test_a_generator_that_cannot_be_begun_with_is_refused(recipe, weights):
    metadata = checkpoint.read_metadata(str(weights / "generator"), "generator", "k")
    wider = UViT(replace(Shape.from_config(metadata["config"]), width=64))
    generator = recipe(
        f"generator.init_from={weights / 'generator'}", "generator.num_timesteps=100"
    ).generator
    with pytest.raises(CheckpointError, match=r"generator\.init_from: .* another recognizer or a"):
        init_from(wider, generator, {"recognizer": "0" * 64})
    with pytest.raises(CheckpointError, match=r"generator\.init_from: .* of shape"):
        init_from(wider, generator, metadata["lineage"])
    with pytest.raises(CheckpointError, match=r"generator\.num_timesteps: got 7 .* with 100"):
        init_from(wider, replace(generator, num_timesteps=7), metadata["lineage"])


def test_other_first_weights_are_another_training(recipe, tmp_path):
    for seed in (1, 2):
        out = f"training.out={tmp_path / str(seed)}"
        train(recipe(out, "training.max_steps=1", f"training.seed={seed}"), quiet)
    folder = shutil.copytree(tmp_path / "1", tmp_path / "first")
    begun = recipe(f"generator.init_from={folder}", "training.max_steps=1")
    train(begun, quiet)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "2", folder)  # others at the same path
    with pytest.raises(CheckpointError, match=r"other settings or faces \(init_from: "):
        train(begun, quiet)
    train(recipe(f"generator.init_from={tmp_path / '1'}", "training.max_steps=1"), quiet)
