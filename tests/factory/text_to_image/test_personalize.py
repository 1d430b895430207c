"""A person's LoRA: what it learns from, what it depends on, and what it leaves alone."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from factory.config import BaseModelConfig, PersonalizationConfig
from factory.errors import SourceError
from factory.recognition.embed import Recognizer
from factory.seeds import stream_seed, torch_generator
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import FaceCrop
from factory.text_to_image.identity_losses import weight_of_time
from factory.text_to_image.personalize import LoraTrainer, draw_prior, pair_of_step
from tests.conftest import IMAGES, PX, draw_face

PHOTOGRAPHS = np.stack([draw_face(0, image) for image in range(IMAGES)])


class NoFace:
    """A crop that finds nobody from the `after`-th image on."""

    def __init__(self, after: int = 0) -> None:
        self._left = after

    def __call__(self, image_CHW):
        self._left -= 1
        return image_CHW if self._left >= 0 else None


def test_priors_are_as_many_as_configured_and_always_the_same(base, open_trainer):
    config = open_trainer(num_prior=3)._config
    first, again = (draw_prior(base, config, "ddim", 0) for _ in range(2))
    assert first.shape == (3, 32, 32, 3)
    assert (first == again).all()
    assert (first != draw_prior(base, config, "ddim", 1)).any()


class Recorded:
    """A base that notes what is drawn, and draws nothing."""

    config = BaseModelConfig(path="x", negative_prompt="blurred")

    def __init__(self):
        self.prompts, self.seeds, self.sampling = [], [], []

    def encode_prompts(self, texts):
        self.prompts.append(texts)
        return SimpleNamespace(rows=lambda rows: [texts[row] for row in rows])

    def noise(self, seeds):
        self.seeds += seeds
        return torch.zeros(len(seeds))

    def draw(self, prompts, negative, noise, *sampling):
        self.sampling.append((prompts[0], negative[0], *sampling))
        return np.zeros((len(noise), 2, 2, 3), np.uint8)


def test_priors_are_drawn_by_the_prior_prompt_each_from_its_own_noise():
    base = Recorded()
    config = PersonalizationConfig(num_prior=20, prior_steps=7, prior_guidance=3.0)
    assert len(draw_prior(base, config, "ddim", 5)) == 20
    assert set(base.sampling) == {("photo of a person", "blurred", "ddim", 7, 3.0)}
    assert len(set(base.seeds)) == len(base.seeds) >= 20
    assert base.seeds[:20] == [stream_seed(5, "prior", image) for image in range(20)]


@pytest.mark.parametrize("objective", ["dreambooth", "portraitbooth", "idbooth"])
def test_a_person_depends_on_nobody_trained_before(open_trainer, objective):
    trainer = open_trainer(objective=objective)
    metrics = trainer.train("anna", PHOTOGRAPHS)
    first = trainer.lora.to_bytes()
    trainer.train("berta", PHOTOGRAPHS[::-1])
    assert trainer.lora.to_bytes() != first
    trainer.train("anna", PHOTOGRAPHS)
    assert trainer.lora.to_bytes() == first
    assert metrics["num_images"] == IMAGES
    assert metrics["no_face"] == 0
    assert (metrics["identity"] is None) == (objective == "dreambooth")
    assert metrics["error"] > 0 < metrics["prior_error"]


def test_objectives_differ_in_what_they_teach(open_trainer):
    trainer, learned = open_trainer(), {}
    for objective in ("dreambooth", "portraitbooth", "idbooth"):
        object.__setattr__(trainer._config, "objective", objective)
        trainer.train("anna", PHOTOGRAPHS)
        learned[objective] = trainer.lora.to_bytes()
    assert len(set(learned.values())) == 3


def test_the_denoising_error_falls(open_trainer):
    trainer = open_trainer(objective="dreambooth", steps=60, lr=3e-2)
    draw = torch.Generator().manual_seed(3)
    prepared = trainer.prepare(PHOTOGRAPHS)
    z = torch.stack([prepared.sample(row % IMAGES, draw) for row in range(24)])
    noise, t_B = torch.randn(z.shape, generator=draw), torch.arange(24) * 40
    prompts = trainer._prompts.rows([0] * 24)

    def error() -> float:
        base = trainer._base
        with torch.no_grad():
            estimate = base.estimate(base.add_noise(z, noise, t_B), t_B, prompts)
        return float((estimate - base.target(z, noise, t_B)).square().mean())

    before = error()
    trainer.train("anna", PHOTOGRAPHS)
    assert error() < 0.9 * before


@pytest.mark.parametrize("order", ["epochs", "random"])
@pytest.mark.parametrize("objective", ["dreambooth", "portraitbooth", "idbooth"])
def test_steps_are_those_of_the_loss_written_out(open_trainer, base, recognizer, objective, order):
    """METHODS 3 term by term: three steps of AdamW, everything computed where it is used."""
    weights = {"prior_weight": 0.7, "identity_weight": 0.5, "margin": 0.8, "weight_decay": 0.02}
    trainer = open_trainer(objective=objective, steps=3, order=order, grad_clip=1e-3, **weights)
    priors = draw_prior(base, trainer._config, "ddim", 0)  # while the LoRA changes nothing
    trainer.train("anna", PHOTOGRAPHS)
    learned = trainer.lora.tensors()
    photographs = np.concatenate([PHOTOGRAPHS, PHOTOGRAPHS[:, :, ::-1]])
    prompts = base.encode_prompts(["photo of sks person", "photo of a person"])
    trainer.lora.reset(torch_generator(0, "lora", "anna"))
    optimizer = torch.optim.AdamW(trainer.lora.parameters(), 1e-2, weight_decay=0.02)
    for step in range(3):
        draw = torch_generator(0, "booth", "anna", step)
        rows = pair_of_step(step, (2 * IMAGES, 4), 0, "anna")
        if order == "random":
            rows = [int(torch.randint(count, (1,), generator=draw)) for count in (2 * IMAGES, 4)]
        pair = np.stack([photographs[rows[0]], priors[rows[1]]])
        mean_std = base.encode(pair)
        z = torch.stack([m + s * torch.randn(m.shape, generator=draw) for m, s in mean_std])
        noise = torch.randn(z.shape, generator=draw)
        t_B = torch.randint(1000, (2,), generator=draw)
        z_t = base.add_noise(z, noise, t_B)
        estimate = base.estimate(z_t, t_B, prompts)
        error_B = (estimate - base.target(z, noise, t_B)).square().mean((1, 2, 3))
        loss = error_B[0] + 0.7 * error_B[1]
        if objective != "dreambooth":
            unit_2D = torch.from_numpy(recognizer.embed(pair))
            z0 = base.z0(estimate, z_t, t_B)[:1]
            anchor_D = recognizer.unit_features(base.decode(z0).clamp(-1, 1))[0]
            to_person, to_prior = unit_2D @ anchor_D
            term = 1 - to_person
            if objective == "idbooth":
                term = (to_prior - to_person + 0.8).clamp(min=0)
            loss = loss + 0.5 * (1 - t_B[0] / 1000) ** 2 * term
        optimizer.zero_grad()
        loss.backward()
        gradients = [parameter.grad for parameter in trainer.lora.parameters()]
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        for gradient in gradients:
            gradient *= 1e-3 / norm
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 + math.cos(math.pi * step / 3)) / 2
        optimizer.step()
    wanted = trainer.lora.tensors()
    off = torch.cat([(learned[name] - wanted[name]).flatten() for name in wanted]).norm()
    size = torch.cat([wanted[name].flatten() for name in wanted if "lora_B" in name]).norm()
    assert off < 0.01 * size  # AdamW turns rounding of a vanishing gradient into a step


@pytest.mark.parametrize("counts", [(2, 6), (6, 2), (4, 6), (5, 5)])
def test_an_epoch_shows_every_image_of_the_longer_kind_once(counts):
    """ID-Booth's order: index i of a shuffled epoch is photograph i and prior image i, in turn."""
    epochs = [
        [pair_of_step(epoch * max(counts) + i, counts, 0, "anna") for i in range(max(counts))]
        for epoch in range(3)
    ]
    wanted = sorted((index % counts[0], index % counts[1]) for index in range(max(counts)))
    assert [sorted(pairs) for pairs in epochs] == [wanted] * 3
    assert len({tuple(pairs) for pairs in epochs}) == 3
    again = [pair_of_step(i, counts, 0, "anna") for i in range(max(counts))]
    assert again == epochs[0]
    assert [pair_of_step(i, (50, 60), 0, "berta") for i in range(60)] != [
        pair_of_step(i, (50, 60), 0, "anna") for i in range(60)
    ]


@pytest.mark.parametrize(("clip", "largest"), [(1e-4, 1e-4), (0.0, float("inf"))])
def test_gradients_of_all_matrices_together_are_clipped(open_trainer, monkeypatch, clip, largest):
    norms = []
    step = torch.optim.AdamW.step

    def recorded(optimizer, *arguments):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    open_trainer(objective="dreambooth", grad_clip=clip).train("anna", PHOTOGRAPHS)
    assert len(norms) == 4
    if clip:
        assert norms == pytest.approx([largest] * 4, rel=0.02)
    else:
        assert min(norms) > 1e-3


def test_mirrored_photographs_can_be_left_out(open_trainer):
    trainer, prepared = open_trainer(mirrors=False), []
    prepare = trainer.prepare
    trainer.prepare = lambda images: prepared.append(images) or prepare(images)
    trainer.train("anna", PHOTOGRAPHS)
    assert np.array_equal(prepared[0], PHOTOGRAPHS)


def test_no_face_in_an_estimate_leaves_the_term_out_and_counts(open_trainer):
    num_prepared = 4 + 2 * IMAGES  # priors, photographs and their mirrors show one
    trainer = open_trainer(crop=NoFace(after=num_prepared + 1))
    metrics = trainer.train("anna", PHOTOGRAPHS)
    assert metrics["no_face"] == 3  # of four steps
    assert metrics["no_identity"] == 0
    assert metrics["identity"] is not None
    assert any(
        tensor.abs().sum() for name, tensor in trainer.lora.tensors().items() if "_B" in name
    )


def test_a_person_without_a_face_is_named(open_trainer):
    trainer = open_trainer(crop=NoFace(after=4))
    with pytest.raises(SourceError, match="no face is found in the images of 'anna'"):
        trainer.train("anna", PHOTOGRAPHS)


def test_priors_without_a_face_matter_to_the_triplet_alone(open_trainer):
    class FacesOnlyLater:
        """Nobody in the four prior images, somebody in all others."""

        def __init__(self) -> None:
            self._count = 0

        def __call__(self, image_CHW):
            self._count += 1
            return image_CHW if self._count > 4 else None

    assert open_trainer(crop=FacesOnlyLater()).train("anna", PHOTOGRAPHS)["no_identity"] == 4


def test_a_training_that_diverges_raises(open_trainer):
    with pytest.raises(FloatingPointError, match="anna: the loss is not a number at step"):
        open_trainer(lr=1e30).train("anna", PHOTOGRAPHS)


def test_the_identity_term_by_hand(open_trainer):
    trainer = open_trainer(margin=0.5)
    z0 = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    t_B = torch.tensor([250])
    positive, negative = torch.eye(16)[:1], torch.eye(16)[1:2]
    anchor = trainer._embedded(trainer._base.decode(z0)[0])
    wanted = weight_of_time(t_B, 1000)[0] * max(0.0, float(anchor[1] - anchor[0]) + 0.5)
    assert float(trainer._identity(z0, t_B, positive, negative)) == pytest.approx(float(wanted))


def test_gradient_checkpointing_learns_the_same(recognizer, base_folder):
    def trained(checkpointing: bool):
        config = PersonalizationConfig(steps=3, crop="whole", gradient_checkpointing=checkpointing)
        base = TextToImage(BaseModelConfig(path=str(base_folder)), torch.device("cpu"), "fp32")
        trainer = LoraTrainer(config, base, recognizer, FaceCrop("whole", None, PX), seed=0)
        trainer.set_priors(PHOTOGRAPHS)
        trainer.train("anna", PHOTOGRAPHS)
        return trainer.lora.tensors()

    plain, checkpointed = trained(False), trained(True)
    assert all(torch.allclose(plain[name], checkpointed[name], atol=1e-6) for name in plain)


def trained_in(precision: str, recognizer, base_folder, device: str = "cpu"):
    config = PersonalizationConfig(steps=3, num_prior=2, prior_steps=2, crop="whole")
    base = TextToImage(BaseModelConfig(path=str(base_folder)), torch.device(device), precision)
    trainer = LoraTrainer(config, base, recognizer, FaceCrop("whole", None, PX), seed=0)
    trainer.set_priors(draw_prior(base, config, "ddim", 0))
    return trainer, trainer.train("anna", PHOTOGRAPHS)


def test_bf16_learns_nearly_the_same_with_matrices_in_float32(recognizer, base_folder):
    exact = trained_in("fp32", recognizer, base_folder)[1]
    trainer, metrics = trained_in("bf16", recognizer, base_folder)
    assert metrics["error"] == pytest.approx(exact["error"], rel=0.05)
    assert {tensor.dtype for tensor in trainer.lora.tensors().values()} == {torch.float32}
    assert {p.dtype for p in trainer._base.unet.parameters() if not p.requires_grad} == {
        torch.bfloat16
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_nearly_the_same(weights, base_folder, precision):
    on_cpu = Recognizer.load(str(weights / "recognizer"), torch.device("cpu"))
    on_gpu = Recognizer.load(str(weights / "recognizer"), torch.device("cuda"))
    exact = trained_in("fp32", on_cpu, base_folder)[1]
    metrics = trained_in(precision, on_gpu, base_folder, "cuda")[1]
    assert metrics["error"] == pytest.approx(exact["error"], rel=0.1)
