"""The miniature pipeline: what is saved is opened again, and what is missing is named."""

import shutil

import numpy as np
import pytest
import torch

from factory.config import PersonalizationConfig
from factory.errors import CheckpointError
from factory.images import to_uint8
from factory.text_to_image.base_model import TextToImage, digest, locate
from tests.base_model import tiny_autoencoder
from tests.conftest import draw_face

CPU = torch.device("cpu")
FACES = np.stack([draw_face(person, 0) for person in range(3)])


def test_its_autoencoder_is_ours_with_normalized_latents(base):
    ours = tiny_autoencoder()
    moments = base.encode(FACES)
    assert torch.allclose(moments[:, 0], ours.encode(FACES), atol=1e-5)
    assert (moments[:, 1] > 0).all()
    z = torch.randn(2, 4, 16, 16)
    assert torch.allclose(base.decode(z), ours.decode(z), atol=1e-5)


@pytest.mark.parametrize("predicts_v", [True, False])
def test_estimates_invert(base, predicts_v):
    base._predicts_v = predicts_v
    z, noise, t_B = (
        torch.randn(3, 4, 16, 16),
        torch.randn(3, 4, 16, 16),
        torch.tensor([0, 400, 900]),
    )
    z_t = base.add_noise(z, noise, t_B)
    assert torch.allclose(base.z0(base.target(z, noise, t_B), z_t, t_B), z, atol=1e-3)
    assert torch.allclose(z_t, base.scheduler.add_noise(z, noise, t_B), atol=1e-5)


def test_an_image_depends_on_its_words_and_noise_alone(base):
    words = base.words(["photo of a person, left", "photo of a person"])
    away, noise = base.words(["", ""]), base.noise([1, 2])
    both = base.draw(words, away, noise, "ddim", 3, 3.0)
    other = base.draw(words.rows([0, 0]), away, noise[[0, 0]], "ddim", 3, 3.0)
    assert both.shape == (2, 32, 32, 3)
    assert both.dtype == np.uint8
    assert (both[0] == other[0]).all()
    assert (both[1] != other[1]).any()
    alone = base.draw(words, away, noise, "ddim", 3, 1.0)
    assert (alone != both).any()  # guidance does something


def test_estimate_is_what_the_pipeline_would_ask(base):
    words, z, t_B = base.words(["photo"]), torch.randn(1, 4, 16, 16), torch.tensor([300])
    with torch.no_grad():
        wanted = base.pipeline.unet(z, t_B, words.text_BLD).sample
        assert base.estimate(z, t_B, words).equal(wanted)


def test_long_prompts_are_counted(base):
    base.words(["photo of " + "a person " * 20, "photo"])
    assert base.too_long == 1


def test_missing_parts_and_foreign_weights_are_named(base_folder, tmp_path):
    def refused(match, **fields):
        with pytest.raises(CheckpointError, match=match):
            locate(PersonalizationConfig(**({"base": str(copy)} | fields)))

    copy = tmp_path / "copy"
    shutil.copytree(base_folder, copy)
    assert digest(PersonalizationConfig(base=str(copy))) == digest(
        PersonalizationConfig(base=str(base_folder))
    )
    refused("nothing given", base=None)
    refused(r"has no text_encoder_2/.*booth\.family=sd", family="sdxl")
    refused("neither a folder nor can it be had from the hub", base="nobody/nothing")
    weights = next((copy / "unet").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))
    refused(r"unet holds no \.safetensors")
    shutil.rmtree(copy / "unet")
    refused("has no unet/")
    (copy / "unet").mkdir()
    (copy / "text_encoder_2").mkdir()
    refused(r"booth\.family: got 'sd'")


def test_other_weights_are_another_base(base_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base_folder, copy)
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.012", "0.013"))
    assert digest(PersonalizationConfig(base=str(copy))) != digest(
        PersonalizationConfig(base=str(base_folder))
    )


def test_sdxl_is_told_of_sizes_and_pooled_words(tmp_path):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from tests.base_model import save_base

    folder = save_base(tmp_path)
    config = CLIPTextConfig.from_pretrained(folder / "text_encoder")
    torch.manual_seed(1)
    CLIPTextModelWithProjection(config).save_pretrained(folder / "text_encoder_2")
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=2,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    ).save_pretrained(folder / "unet")
    model = TextToImage(PersonalizationConfig(base=str(folder), family="sdxl"), CPU, "fp32")
    words = model.words(["photo of a person"] * 2)
    assert words.text_BLD.shape == (2, 16, 64)
    assert words.pooled_BP.shape == (2, 32)
    images = model.draw(words, model.words(["", ""]), model.noise([1, 2]), "dpmpp_2m", 2, 4.0)
    assert images.shape == (2, 32, 32, 3)
    z = torch.randn(2, 4, 16, 16)
    assert model.estimate(z, torch.tensor([3, 5]), words).shape == z.shape
    assert to_uint8(model.decode(z)).shape == images.shape
