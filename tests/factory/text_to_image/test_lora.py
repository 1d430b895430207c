"""Exchanging LoRAs: nothing learned changes nothing, files come back, others are refused."""

import pytest
import torch

from factory.config import BaseModelConfig, PersonalizationConfig
from factory.errors import CheckpointError
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.lora import Lora

CPU = torch.device("cpu")


def drawn(base):
    return base.draw(
        base.encode_prompts(["photo"]), base.encode_prompts([""]), base.noise([4]), "ddim", 2, 2.0
    )


def learned(lora):
    """Tensors in which B is not 0."""
    torch.manual_seed(9)
    return {name: torch.randn_like(t) * 0.1 for name, t in lora.tensors().items()}


@pytest.fixture
def lora(base):
    return Lora(base.unet, PersonalizationConfig(rank=2, alpha=2), base.sha256)


def test_nothing_learned_leaves_the_base_bit_identical(base_folder):
    base = TextToImage(BaseModelConfig(path=str(base_folder)), CPU, "fp32")
    before = drawn(base)
    lora = Lora(base.unet, PersonalizationConfig(rank=3, alpha=5), base.sha256)
    lora.reset(torch.Generator().manual_seed(0))
    assert (drawn(base) == before).all()
    lora.load(learned(lora))
    assert (drawn(base) != before).any()
    lora.reset(torch.Generator().manual_seed(1))
    assert (drawn(base) == before).all()


def test_only_its_matrices_learn(base, lora):
    prompts, z = base.encode_prompts(["photo"]), torch.randn(1, 4, 16, 16)
    base.estimate(z, torch.tensor([5]), prompts).square().sum().backward()
    with_gradient = {n for n, p in base.unet.named_parameters() if p.grad is not None}
    assert with_gradient
    assert all("lora_" in name for name in with_gradient)
    assert len(with_gradient) == len(lora.parameters())
    assert not any(p.requires_grad for p in base.pipeline.text_encoder.parameters())
    assert not any(p.requires_grad for p in base.pipeline.vae.parameters())


@pytest.mark.parametrize("rank", [2, 8])
def test_new_matrices_are_normal_over_the_rank_and_zero(base, rank):
    lora = Lora(base.unet, PersonalizationConfig(rank=rank, alpha=rank), base.sha256)
    lora.reset(torch.Generator().manual_seed(3))
    down, up = [], []
    for name, tensor in lora.tensors().items():
        (down if "lora_A" in name else up).append(tensor.flatten())
    assert float(torch.cat(down).std()) == pytest.approx(1 / rank, rel=0.05)
    assert float(torch.cat(down).mean()) == pytest.approx(0, abs=0.05 / rank)
    assert not torch.cat(up).any()


def test_a_file_comes_back_and_diffusers_reads_it(base, base_folder, tmp_path):
    lora = Lora(base.unet, PersonalizationConfig(rank=2, alpha=6), base.sha256)
    lora.load(learned(lora))
    data, with_it = lora.to_bytes(), drawn(base)
    assert data == lora.to_bytes()
    lora.reset(torch.Generator())
    lora.load(lora.from_bytes(data, "a.safetensors"))
    assert (drawn(base) == with_it).all()

    (tmp_path / "a.safetensors").write_bytes(data)
    plain = TextToImage(BaseModelConfig(path=str(base_folder)), CPU, "fp32")
    plain.pipeline.load_lora_weights(str(tmp_path), weight_name="a.safetensors")
    assert (drawn(plain) == with_it).all()  # rank and alpha included
    plain.pipeline.fuse_lora()
    merged = drawn(plain).astype(int)
    assert abs(merged - with_it.astype(int)).max() <= 1


def test_loras_of_other_bases_are_refused(lora):
    data = lora.to_bytes()
    assert lora.from_bytes(data, "x").keys() == lora.tensors().keys()
    with pytest.raises(CheckpointError, match=r"x: is not a \.safetensors file"):
        lora.from_bytes(data[:50], "x")
    lora._base_sha256 = "f" * 64
    with pytest.raises(
        CheckpointError, match=r"x: is a LoRA of the base .* base_model\.path is ffff"
    ):
        lora.from_bytes(data, "x")


def test_other_ranks_and_modules_are_refused(base_folder, lora):
    def fresh(**fields):
        base = TextToImage(BaseModelConfig(path=str(base_folder)), CPU, "fp32")
        return Lora(base.unet, PersonalizationConfig(**fields), base.sha256)

    with pytest.raises(CheckpointError, match=r"has no .* of shape .*personalization\.rank"):
        fresh(rank=3).from_bytes(lora.to_bytes(), "x")
    with pytest.raises(
        CheckpointError, match=r"personalization\.modules: .* no layer called 'nothing'"
    ):
        fresh(modules=("to_q", "nothing"))
