"""A text-to-image pipeline of a second: untrained, 32 px, saved as diffusers saves them."""

from __future__ import annotations

import pytest
import torch

from factory.config import BaseModelConfig, PersonalizationConfig
from factory.recognition.embed import Recognizer
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import FaceCrop
from factory.text_to_image.personalize import LoraTrainer, draw_prior
from factory.training.distributed import kept_threads
from tests.base_model import save_base
from tests.conftest import PX

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """As makers work (plan.num_threads): several add gradients up in any order."""
    with kept_threads():
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(base_folder):
    return TextToImage(BaseModelConfig(path=str(base_folder)), CPU, "fp32")


@pytest.fixture
def recognizer(weights):
    return Recognizer.load(str(weights / "recognizer"), CPU)


@pytest.fixture
def open_trainer(base, recognizer):
    """Function of PersonalizationConfig fields -> a LoraTrainer with four prior images."""

    def make(crop=None, seed=0, **fields):
        defaults = {"steps": 4, "num_prior": 4, "prior_steps": 2, "crop": "whole", "lr": 1e-2}
        config = PersonalizationConfig(**(defaults | fields))
        crop = crop or FaceCrop("whole", None, PX)
        trainer = LoraTrainer(config, base, recognizer, crop, seed)
        trainer.set_priors(draw_prior(base, config, "ddim", seed))
        return trainer

    return make
