"""An overfitted generator is caught, and the same one knows nobody among people it never saw."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from factory.config import Config, load
from factory.diffusion.train import train
from factory.errors import ConfigError
from factory.evaluation.attack import attack, check
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.attack import Attack
from factory.report.attack import verdict
from tests.conftest import PX

EACH, IMAGES = 12, 2
"""People of each side and images of a person."""


def draw_pattern(person: int, image: int) -> np.ndarray:
    """Colors of a person in 4x4 fields, a little different in each image: RGB uint8."""
    fields = np.random.default_rng(person).uniform(30, 225, (4, 4, 3))
    moved = fields + np.random.default_rng(9000 * person + image).normal(0, 12, fields.shape)
    smooth = cv2.resize(moved, (PX, PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def draw_sides(root, *firsts):
    """A folder of EACH people from each number on, in this order of names."""
    for side, first in enumerate(firsts):
        for person in range(first, first + EACH):
            folder = root / f"{side}_{person:04d}"
            folder.mkdir(parents=True)
            for image in range(IMAGES):
                Image.fromarray(draw_pattern(person, image)).save(folder / f"{image}.png")
    return root


def quiet(line):
    return None


@pytest.fixture(scope="module")
def attacked(weights, tmp_path_factory):
    """Function of a name of sides and changes -> a config of an attack on the overfitted one."""
    root = tmp_path_factory.mktemp("attacked")
    draw_sides(root / "learned", 1000, 2000)
    draw_sides(root / "unseen", 3000, 2000)
    (root / "c.yaml").write_text("{}\n")

    def config(sides: str, *changes: str) -> Config:
        settings = [
            "source.kind=folder",
            f"source.path={root / sides}",
            f"source.image_px={PX}",
            f"source.holdout_identities={EACH}",
            "compute.precision=fp32",
            f"recognizer.checkpoint={weights / 'recognizer'}",
            f"judge.checkpoint={weights / 'judge'}",
            f"generator.checkpoint={root / 'generator'}",
            f"training.out={root / 'generator'}",
            "training.save_every_s=10000",
            "generator.space=pixels",
            "generator.patch=8",
            "generator.width=64",
            "generator.depth=3",
            "generator.num_heads=2",
            "generator.num_timesteps=100",
            "generator.batch_size=24",
            "generator.warmup_steps=0",
            "generator.lr=3e-3",
            "generator.ema=0.98",
            "generator.epochs=1000",
            "training.max_steps=300",
            "attack.num_draws=2",
            "attack.num_free_draws=16",
            "attack.num_noises=2",
            "sampler.num_steps=4",
            "sampler.guidance=1",
        ]
        return load(root / "c.yaml", [*settings, *changes])

    torch.set_num_threads(1)
    train(config("learned"), quiet)
    return config


def found_in(config: Config) -> Attack:
    return attack(config, check(config), log=quiet)


def test_an_attack_catches_an_overfitted_generator(attacked):
    found = found_in(attacked("learned"))
    print(*__import__("factory.report.attack").report.attack.lines(found), sep="\n")

def test_an_attack_on_people_it_never_saw_finds_nothing(attacked):
    found = found_in(attacked("unseen"))
    print(*__import__("factory.report.attack").report.attack.lines(found), sep="\n")
