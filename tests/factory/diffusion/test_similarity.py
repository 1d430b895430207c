"""CemiFace's condition and loss, and generators that begin with another's weights."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from factory import checkpoint
from factory.diffusion.similarity import GRID, draw_similarities, similarity_loss
from factory.diffusion.train import GeneratorLoss, init_from, network_shape, train
from factory.diffusion.uvit import Shape, UViT
from factory.errors import CheckpointError, ConfigError
from factory.planning.preflight import preflight
from factory.recognition.embed import Recognizer
from factory.records import Shot
from factory.synthesis.generators import DiffusionGenerator
from tests.conftest import PX
from tests.factory.diffusion.test_train import CPU, quiet, recipe  # noqa: F401


def test_grid_is_the_papers():
    assert len(GRID) == 51
    torch.testing.assert_close(GRID[[0, 25, 50]], torch.tensor([-1.0, 0.0, 1.0]))
    drawn = draw_similarities(5000, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(GRID.tolist())
    assert float(drawn.mean()) == pytest.approx(0, abs=0.03)


def test_loss_in_closed_form():
    """s = .6: (1-g)*.16 + g*(m-.6)^2."""
    identity, made = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    for m, g, wanted in ((1.0, 0.0, 0.16), (0.6, 1.0, 0.0), (0.1, 1.0, 0.25), (0.1, 0.5, 0.205)):
        found = similarity_loss(made, identity, torch.tensor([m]), torch.tensor([g]))
        assert found.tolist() == pytest.approx([wanted], abs=1e-6)


def test_training_adds_the_loss_where_a_condition_is_given(recipe):  # noqa: F811
    config = recipe("generator.space=pixels", "generator.similarity_tokens=2")
    config = replace(config, generator=replace(config.generator, prediction="x0"))
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    torch.manual_seed(0)
    model = GeneratorLoss(
        config.generator, network_shape(config, 3, PX, recognizer.dim), lambda y: y, recognizer
    )
    x, t = torch.rand(3, 3, PX, PX) * 2 - 1, torch.tensor([10, 50, 90])
    wanted, m = recognizer.unit_features(x), torch.tensor([0.2, -0.4, 0.0])
    given = wanted * torch.tensor([[1.0], [1.0], [0.0]])
    found, errors_B = model(x, torch.randn_like(x), t, given, wanted, m)
    torch.testing.assert_close(errors_B, x.square().mean((1, 2, 3)))
    black = recognizer.unit_features(torch.zeros_like(x))  # an untrained network predicts zero
    aims = similarity_loss(black, wanted, m, t / config.generator.num_timesteps)
    expected = x.square().mean() + config.generator.similarity_weight * aims[:2].sum() / 3
    torch.testing.assert_close(found, expected)


def test_similarity_reaches_the_drawing():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6, similarity_tokens=3)).eval()
    torch.nn.init.normal_(network.final.weight, std=0.1)
    x, t, who = torch.randn(2, 2, 8, 8), torch.full((2,), 5), torch.randn(2, 6)
    low, high = (network(x, t, who, torch.full((2,), m)) for m in (-1.0, 1.0))
    assert (low - high).abs().max() > 1e-3
    alone = network(x[:1], t[:1], who[:1], torch.tensor([1.0]))
    torch.testing.assert_close(alone, high[:1], atol=1e-5, rtol=1e-4)


def test_a_generator_begins_with_another(recipe, tmp_path):  # noqa: F811
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


def test_another_recognizer_gets_new_readers_and_the_old_faces(recipe, tmp_path):  # noqa: F811
    first = recipe("generator.similarity_tokens=2", "training.max_steps=1")
    train(first, quiet)
    story = checkpoint.read_metadata(first.training.out, "generator", "k")
    before = checkpoint.load(first.training.out, "generator", "k").tensors
    network = UViT(Shape(**story["config"]["shape"]))
    torch.nn.init.normal_(network.joined_drive.weight)  # it begins at zero
    new = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    begin = (f"generator.init_from={first.training.out}", "generator.reset_identity_layers=true")
    asked = recipe(*begin, "generator.similarity_tokens=2").generator
    init_from(network, asked, story["lineage"] | {"recognizer": "0" * 64})
    for name, tensor in network.state_dict().items():
        reads = name.startswith(("identity.", "joined.", "joined_drive."))
        wanted = new if reads else before
        torch.testing.assert_close(tensor, wanted[name])
    with pytest.raises(CheckpointError, match=r"generator\.start: .* another recognizer or auto"):
        init_from(network, asked, story["lineage"] | {"autoencoder": "0" * 64})
    with pytest.raises(ConfigError, match=r"generator\.renew_identity: got true without"):
        recipe("generator.reset_identity_layers=true")


@pytest.mark.parametrize("tokens", [0, 2])
def test_sheets_show_how_far_a_training_is(recipe, tmp_path, tokens):  # noqa: F811
    settings = ("training.max_steps=4", "training.eval_every=2")
    train(recipe(*settings, f"generator.similarity_tokens={tokens}"), quiet)
    sheets = sorted((tmp_path / "out" / "sheets").iterdir())
    assert [sheet.name for sheet in sheets] == ["0000002.png", "0000004.png"]
    with Image.open(sheets[0]) as first, Image.open(sheets[1]) as second:
        assert first.size == (4 * PX, 6 * PX)
        assert first.tobytes() != second.tobytes()


def test_what_cannot_be_begun_with_is_refused(recipe, weights):  # noqa: F811
    story = checkpoint.read_metadata(str(weights / "generator"), "generator", "k")
    wider = UViT(replace(Shape(**story["config"]["shape"]), width=64))
    asked = recipe(
        f"generator.init_from={weights / 'generator'}", "generator.num_timesteps=100"
    ).generator
    with pytest.raises(CheckpointError, match=r"generator\.start: .* another recognizer or auto"):
        init_from(wider, asked, {"recognizer": "0" * 64})
    with pytest.raises(CheckpointError, match=r"generator\.start: .* of shape"):
        init_from(wider, asked, story["lineage"])
    with pytest.raises(CheckpointError, match=r"generator\.num_timesteps: got 7 .* with 100"):
        init_from(wider, replace(asked, num_timesteps=7), story["lineage"])


def test_whom_guidance_leads_away_from_has_a_similarity_too():
    """Nobody has none, another person the same, the person itself 1."""
    torch.manual_seed(0)
    shape = Shape(2, 8, 2, None, 32, 3, 2, 6, similarity_tokens=2)
    story = {"shape": asdict(shape), "num_timesteps": 10, "prediction": "v"}
    weights = UViT(shape).state_dict()
    loaded = checkpoint.Checkpoint("generator", weights, story, 0, {}, {}, "")
    unit_ND = np.eye(6, dtype=np.float32)[:2]
    generator = DiffusionGenerator(loaded, None, unit_ND, CPU, "fp32")
    aways = (-1, 0, 1)  # nobody, itself, the other
    shots = [
        Shot(
            "k", 0, i, 0, i, "ddim", 2, 2.0, 0, i, away=away, perturbation_cos=0.9, similarity=0.25
        )
        for i, away in enumerate(aways)
    ]
    _, told = generator.inputs(shots, 4)
    assert told.similarity_B.tolist() == [0.25, 0.25, 0.25, 0]
    assert told.away_similarity_B.tolist() == [0, 1, 0.25, 0]
    assert not told.away_BD[0].any()
    torch.testing.assert_close(told.away_BD[1], told.identity_BD[1])  # turned as it is
    torch.testing.assert_close(told.away_BD[2], torch.from_numpy(unit_ND[1]))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("sampler.similarity=[1.5]",), r"sampler\.similarity: got 1\.5; want cosines"),
        (("sampler.similarity=[0.0]",), r"generator with 0 similarity tokens; want none"),
        (
            ("sampler.similarity=[0.0]", "filters.min_own_cosine=.4"),
            r"filters\.min_own_cosine: got 0\.4 while sampler\.similarity asks for 0\.0",
        ),
        (
            ("sampler.negative_condition=itself",),
            r"sampler\.away: got 'itself' without sampler\.similarity",
        ),
        (
            ("sampler.negative_condition=itself", "sampler.similarity=[.5,1]"),
            r"sampler\.similarity: got 1 with sampler\.away='itself'",
        ),
        (("sampler.guidance_from=.5", "sampler.guidance_to=.5"), r"sampler\.guidance_from"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(release_config, settings, says):
    with pytest.raises(ConfigError, match=says):
        preflight(release_config(*settings))
