"""LoRAs: ours against the plain loop that encodes at every step; a swap against opening the base.

Ratios as JSON, both sides in one run, interleaved, at equal losses.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from factory.config import BaseModelConfig, PersonalizationConfig
from factory.recognition.embed import Recognizer
from factory.seeds import torch_generator
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import FaceCrop
from factory.text_to_image.identity_losses import OBJECTIVES, weight_of_time
from factory.text_to_image.personalize import LoraTrainer
from factory.training.schedules import cosine_decay
from tests.base_model import save_base
from tests.benchmarks.timing import fastest, report
from tests.conftest import draw_face

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
STEPS = 40
"""Of a LoRA's thousands: enough that what is made once is not most of the work."""
PHOTOGRAPHS = np.stack([draw_face(0, image, 64) for image in range(4)])
PRIOR = np.stack([draw_face(1, image, 64) for image in range(4)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Encoding an image costs .7 U-Net calls here, about 1.4 in SD 2.1 at 512 px."""
    return save_base(tmp_path_factory.mktemp("base"), px=64, widths=(32, 64), vae=(64, 64, 64))


def open_trainer(folder, objective):
    plain = {"order": "random", "grad_clip": 0.0}
    config = PersonalizationConfig(steps=STEPS, crop="whole", objective=objective, **plain)
    base = TextToImage(BaseModelConfig(path=str(folder)), CPU, "fp32")
    recognizer = Recognizer.load("starter:recognizer", CPU)
    trainer = LoraTrainer(
        config, base, recognizer, FaceCrop("whole", None, recognizer.image_px), seed=0
    )
    trainer.set_priors(PRIOR)
    return trainer


def plain_loop(trainer: LoraTrainer) -> list[float]:
    """The same steps with every image, prompt and embedding computed where it is used.

    Prior images are drawn beforehand in both.
    """
    config, base = trainer._config, trainer._base
    with_mirrors = np.concatenate([PHOTOGRAPHS, PHOTOGRAPHS[:, :, ::-1]])
    trainer.lora.reset(torch_generator(0, "lora", "anna"))
    optimizer = torch.optim.AdamW(trainer.lora.parameters(), config.lr, weight_decay=0.01)
    losses = []
    for step in range(STEPS):
        draw = torch_generator(0, "booth", "anna", step)
        photograph = int(torch.randint(len(with_mirrors), (1,), generator=draw))
        other = int(torch.randint(len(PRIOR), (1,), generator=draw))
        ours, prior = trainer.prepare(with_mirrors[[photograph]]), trainer.prepare(PRIOR[[other]])
        prompts = base.encode_prompts([config.instance_prompt, config.prior_prompt])
        z = torch.stack([ours.sample(0, draw), prior.sample(0, draw)])
        noise = torch.randn(z.shape, generator=draw)
        t_B = torch.randint(base.num_timesteps, (2,), generator=draw)
        z_t = base.add_noise(z, noise, t_B)
        estimate = base.estimate(z_t, t_B, prompts)
        error_B = (estimate - base.target(z, noise, t_B)).square().mean((1, 2, 3))
        loss, term = error_B.sum(), 0.0
        if config.objective == "idbooth":
            anchor = trainer._embedded(base.decode(base.z0(estimate[:1], z_t[:1], t_B[:1]))[0])
            triplet = OBJECTIVES["idbooth"](
                anchor[None], ours.unit_ND, prior.unit_ND, config.margin
            )
            identity = (weight_of_time(t_B[:1], base.num_timesteps) * triplet).mean()
            loss, term = loss + identity, float(identity.detach())
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = config.lr * cosine_decay(step / STEPS)
        optimizer.step()
        optimizer.zero_grad()
        losses.append([*error_B.tolist(), term])
    return np.mean(losses, 0).tolist()


@pytest.mark.parametrize(("objective", "floor"), [("dreambooth", 1.3), ("idbooth", 1.3)])
def test_what_caches_are_worth(folder, objective, floor):
    """Identities an hour over those of the plain loop.

    An identity term decodes and goes back through the decoder at every step, which costs far more
    than encoding.
    """
    trainer = open_trainer(folder, objective)
    metrics = trainer.train("anna", PHOTOGRAPHS)
    ours = [metrics["error"], metrics["prior_error"], metrics["identity"] or 0.0]
    assert plain_loop(trainer) == pytest.approx(ours, rel=1e-4)
    runs = (lambda: trainer.train("anna", PHOTOGRAPHS), lambda: plain_loop(trainer))
    ours_s, plain_s = fastest(*runs, repeats=3)
    ratio = encode_over_unet(trainer._base)
    name = f"{objective}_identities_per_hour_over_plain_loop"
    report(name, plain_s / ours_s, floor, encode_over_unet=ratio)


def encode_over_unet(base: TextToImage) -> float:
    """What encoding an image costs, in calls of the U-Net for one image."""
    z, t_B = torch.randn(1, 4, base.side, base.side), torch.tensor([5])
    prompts = base.encode_prompts(["x"])

    def call() -> None:
        with torch.no_grad():
            base.estimate(z, t_B, prompts)

    encode_s, unet_s = fastest(lambda: base.encode(PHOTOGRAPHS[:1]), call)
    return round(encode_s / unet_s, 2)


def test_a_swap_is_cheap(folder):
    trainer = open_trainer(folder, "dreambooth")
    data = trainer.lora.to_bytes()
    tensors = trainer.lora.from_bytes(data, "x")

    def seconds(action, count):
        started = time.perf_counter()
        for _ in range(count):
            action()
        return (time.perf_counter() - started) / count

    reload_s = seconds(lambda: TextToImage(trainer._base.config, CPU, "fp32"), 3)
    swap_s = seconds(lambda: trainer.lora.load(tensors), 100)
    read_s = seconds(lambda: trainer.lora.load(trainer.lora.from_bytes(data, "x")), 100)
    report("reload_over_swap", reload_s / swap_s, 20, with_reading=round(reload_s / read_s))
