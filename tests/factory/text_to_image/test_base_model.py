"""The tiny pipeline: what is saved is opened again, and what is missing is named."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from factory.config import BaseModelConfig
from factory.errors import CheckpointError
from factory.images import to_network, to_uint8
from factory.text_to_image.base_model import PromptEmbedding, TextToImage, digest, locate
from tests.base_model import save_base, tiny_autoencoder
from tests.conftest import draw_face

CPU = torch.device("cpu")
FACES = np.stack([draw_face(person, 0) for person in range(3)])


def test_its_autoencoder_is_ours_with_normalized_latents(base):
    ours = tiny_autoencoder()
    moments = base.encode(FACES)
    assert torch.allclose(moments[:, 0], ours.encode(FACES), atol=1e-5)
    assert (moments[:, 1] > 0).all()
    z = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(base.decode(z), ours.decode(z), atol=1e-5)


def test_latents_are_multiplied_by_the_factor_of_their_autoencoder(base):
    """.18215 in Stable Diffusion; 1 in the tiny pipeline, so another one is set."""
    plain, x = base.encode(FACES), to_network(FACES)
    latents, images = base.latents(x), base.decode(plain[:, 0])
    torch.testing.assert_close(latents, plain[:, 0], atol=1e-5, rtol=1e-4)
    base._vae.register_to_config(scaling_factor=0.25)
    torch.testing.assert_close(base.encode(FACES), 0.25 * plain)
    torch.testing.assert_close(base.latents(x), 0.25 * latents)
    torch.testing.assert_close(base.decode(0.25 * plain[:, 0]), images)


def test_sdxl_is_told_the_size_of_a_whole_image():
    """(original height, width, top, left, target height, width), as its pipeline does."""
    model = SimpleNamespace(image_px=32, device=CPU)
    prompts = PromptEmbedding(torch.zeros(2, 4, 8), torch.ones(2, 8))
    added = TextToImage.added_conditions(model, prompts)
    assert added["time_ids"].tolist() == [[32, 32, 0, 0, 32, 32]] * 2
    assert added["text_embeds"] is prompts.pooled_BP


@pytest.mark.parametrize("predicts_v", [True, False])
def test_estimates_invert(base, predicts_v):
    base._predicts_v = predicts_v
    torch.manual_seed(0)
    z, noise = torch.randn(2, 3, 4, 16, 16)
    t_B = torch.tensor([0, 400, 900])
    z_t = base.add_noise(z, noise, t_B)
    assert torch.allclose(base.z0(base.target(z, noise, t_B), z_t, t_B), z, atol=1e-3)
    assert torch.allclose(z_t, base.scheduler.add_noise(z, noise, t_B), atol=1e-5)


def test_an_image_depends_on_its_prompt_and_noise_alone(base):
    prompts = base.encode_prompts(["photo of a person, left", "photo of a person"])
    negative, noise = base.encode_prompts(["", ""]), base.noise([1, 2])
    both = base.draw(prompts, negative, noise, "ddim", 3, 3.0)
    other = base.draw(prompts.rows([0, 0]), negative, noise[[0, 0]], "ddim", 3, 3.0)
    assert both.shape == (2, 32, 32, 3)
    assert both.dtype == np.uint8
    assert (both[0] == other[0]).all()
    assert (both[1] != other[1]).any()
    alone = base.draw(prompts, negative, noise, "ddim", 3, 1.0)
    assert (alone != both).any()  # guidance does something


def test_an_estimate_is_that_of_the_pipelines_unet(base):
    prompts, z, t_B = base.encode_prompts(["photo"]), torch.randn(1, 4, 16, 16), torch.tensor([300])
    with torch.no_grad():
        wanted = base.pipeline.unet(z, t_B, prompts.text_BLD).sample
        assert base.estimate(z, t_B, prompts).equal(wanted)


def test_long_prompts_are_counted(base):
    base.encode_prompts(["photo of " + "a person " * 20, "photo"])
    assert base.num_cut == 1


def test_missing_parts_and_foreign_weights_are_named(base_folder, tmp_path):
    def refused(match, **fields):
        with pytest.raises(CheckpointError, match=match):
            locate(BaseModelConfig(**({"path": str(copy)} | fields)))

    copy = tmp_path / "copy"
    shutil.copytree(base_folder, copy)
    assert digest(BaseModelConfig(path=str(copy))) == digest(BaseModelConfig(path=str(base_folder)))
    refused("nothing given", path=None)
    refused(r"has no text_encoder_2/.*base_model\.family=sd", family="sdxl")
    refused("neither a folder nor can it be downloaded", path="nobody/nothing")
    weights = next((copy / "unet").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))
    refused(r"unet holds no \.safetensors")
    shutil.rmtree(copy / "unet")
    refused("has no unet/")
    (copy / "unet").mkdir()
    (copy / "text_encoder_2").mkdir()
    refused(r"base_model\.family: got 'sd'")


def test_other_weights_are_another_base(base_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base_folder, copy)
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.012", "0.013"))
    assert digest(BaseModelConfig(path=str(copy))) != digest(BaseModelConfig(path=str(base_folder)))


def test_sdxl_gets_sizes_and_pooled_prompts(tmp_path):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

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
    model = TextToImage(BaseModelConfig(path=str(folder), family="sdxl"), CPU, "fp32")
    prompts = model.encode_prompts(["photo of a person"] * 2)
    assert prompts.text_BLD.shape == (2, 16, 64)
    assert prompts.pooled_BP.shape == (2, 32)
    images = model.draw(
        prompts, model.encode_prompts(["", ""]), model.noise([1, 2]), "dpmpp_2m", 2, 4.0
    )
    assert images.shape == (2, 32, 32, 3)
    z = torch.randn(2, 4, 16, 16)
    assert model.estimate(z, torch.tensor([3, 5]), prompts).shape == z.shape
    assert to_uint8(model.decode(z)).shape == images.shape
