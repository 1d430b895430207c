"""The denoiser: shapes, patches that invert, long skips, conditions that matter."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from factory import checkpoint
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.uvit import Shape, UViT, from_patches, to_patches
from factory.errors import ConfigError
from tests.launches import launches

SHAPE = Shape(3, 16, 4, None, 32, 5, 4, 8)


def run(network, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x, condition = torch.randn(2, 3, 16, 16, generator=draw), torch.randn(2, 8, generator=draw)
    return network(x, torch.tensor([3, 70]), condition)


@pytest.mark.parametrize(("patch", "rank"), [(2, None), (4, None), (8, 6), (16, 12)])
def test_output_has_the_shape_of_the_input(patch, rank):
    network = UViT(replace(SHAPE, patch=patch, patch_rank=rank))
    assert run(network).shape == (2, 3, 16, 16)


def test_low_rank_embedding_is_smaller():
    full, low = UViT(replace(SHAPE, patch=16)), UViT(replace(SHAPE, patch=16, patch_rank=4))
    assert sum(p.numel() for p in low.embed.parameters()) < 0.3 * sum(
        p.numel() for p in full.embed.parameters()
    )


def test_patches_invert():
    x = torch.arange(2.0 * 3 * 16 * 16).view(2, 3, 16, 16)
    patches = to_patches(x, 4)
    assert patches.shape == (2, 16, 48)
    assert set(patches[1, 5].tolist()) == set(x[1, :, 4:8, 4:8].flatten().tolist())
    assert torch.equal(from_patches(patches, 4), x)


def test_untrained_output_is_zero_and_every_weight_gets_a_gradient():
    torch.manual_seed(0)
    network = UViT(SHAPE)
    assert (run(network) == 0).all()
    torch.nn.init.normal_(network.final.weight)
    run(network).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_time_and_condition_change_the_output():
    torch.manual_seed(0)
    network = UViT(SHAPE)
    torch.nn.init.normal_(network.final.weight)
    x, t, c = torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.randn(1, 8)
    base = network(x, t, c)
    assert not torch.allclose(base, network(x, torch.tensor([80]), c))
    assert not torch.allclose(base, network(x, t, torch.zeros(1, 8)))


def test_long_skips_lead_from_the_first_blocks_to_the_last():
    """Where a merge reads its skip alone, the output depends on the first and last blocks alone."""
    torch.manual_seed(0)
    network = UViT(SHAPE)
    torch.nn.init.normal_(network.final.weight)
    assert len(network.skips) == 2
    for merge in network.skips:
        merge.weight.data = torch.cat([torch.zeros(32, 32), torch.eye(32)], 1)
        merge.bias.data.zero_()
    before = run(network)

    def changed(block):
        bias = block.mlp[2].bias.data.clone()
        block.mlp[2].bias.data += 1
        after = run(network)
        block.mlp[2].bias.data = bias
        return not torch.equal(before, after)

    assert changed(network.down[0])
    assert changed(network.up[1])
    assert not any(changed(block) for block in (network.down[1], network.middle, network.up[0]))


def test_long_skips_add_to_what_comes_through_the_middle():
    torch.manual_seed(0)
    network = UViT(SHAPE)
    torch.nn.init.normal_(network.final.weight)
    before = run(network)
    network.middle.mlp[2].bias.data += 1
    assert not torch.equal(before, run(network))


class Plainly:
    """The network of METHODS 1 and 2 written out in float64, one head and one token at a time."""

    def __init__(self, network: UViT) -> None:
        self.shape = network.shape
        self.w = {name: tensor.double() for name, tensor in network.state_dict().items()}

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0)

    def twice(self, name: str, x: torch.Tensor) -> torch.Tensor:
        inner = self.linear(f"{name}.0", x)
        return self.linear(f"{name}.2", inner * torch.sigmoid(inner))

    def __call__(self, x, t, condition, m):
        shape, side = self.shape, self.shape.side // self.shape.patch
        unit = condition.double() * shape.embedding_dim**0.5
        rates = 10_000.0 ** (-torch.arange(shape.width // 2).double() / (shape.width // 2))
        angle = t[:, None] * rates
        drive = self.twice("time", torch.cat([angle.sin(), angle.cos()], 1))
        drive = drive + self.twice("identity", unit)
        joined = torch.cat([unit, self.linear("similarity", m[:, None].double())], 1)
        joined = self.linear("joined", joined)
        drive = drive + self.linear("joined_drive", joined * torch.sigmoid(joined))
        tokens = joined.view(len(x), shape.similarity_tokens, shape.width)
        sixes = self.linear("modulation.1", drive * torch.sigmoid(drive))
        sixes = sixes.view(len(x), 6, shape.width)
        patches = x.double().view(len(x), shape.channels, side, shape.patch, side, shape.patch)
        patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(len(x), side**2, -1)
        y = self.linear("embed", patches) + self.w["position_1NW"]
        skips, half = [], shape.depth // 2
        for block in range(half):
            y = self.block(f"down.{block}", y, sixes, tokens)
            skips.append(y)
        y = self.block("middle", y, sixes, tokens)
        for block in range(half):
            y = self.linear(f"skips.{block}", torch.cat([y, skips[half - 1 - block]], 2))
            y = self.block(f"up.{block}", y, sixes, tokens)
        shift, scale = (self.w["final_table_2W"] + drive[:, None]).unbind(1)
        values = self.linear("final", self.modulated(y, shift, scale))
        values = values.view(len(x), side, side, shape.channels, shape.patch, shape.patch)
        return values.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)

    def block(self, name, y, sixes, tokens):
        sixes = sixes + self.w[f"{name}.table_6W"]
        shift1, scale1, gate1, shift2, scale2, gate2 = sixes.unbind(1)
        seen = self.modulated(y, shift1, scale1)
        y = y + gate1[:, None] * self.attention(name, seen, tokens)
        inner = self.linear(f"{name}.mlp.0", self.modulated(y, shift2, scale2))
        inner = nn.functional.gelu(inner, approximate="tanh")
        return y + gate2[:, None] * self.linear(f"{name}.mlp.2", inner)

    def attention(self, name, y, tokens):
        """Queries of the image alone; keys and values of the image and of the tokens."""
        width, size = y.shape[2], y.shape[2] // self.shape.num_heads
        everything = self.linear(f"{name}.qkv", torch.cat([y, tokens], 1))
        mixed = torch.empty_like(y)
        for head in range(self.shape.num_heads):
            q, k, v = (
                everything[..., part * width + head * size : part * width + (head + 1) * size]
                for part in range(3)
            )
            q, k = (a / a.square().mean(2, keepdim=True).sqrt() for a in (q, k))
            scale_q, scale_k = self.w[f"{name}.scale_2d"]
            scores = (q * scale_q)[:, : y.shape[1]] @ (k * scale_k).transpose(1, 2)
            mixed[..., head * size : (head + 1) * size] = (scores / size**0.5).softmax(2) @ v
        return self.linear(f"{name}.out", mixed)

    def modulated(self, y, shift, scale):
        centered = y - y.mean(2, keepdim=True)
        normal = centered / (centered.square().mean(2, keepdim=True) + 1e-5).sqrt()
        return normal * (1 + scale[:, None]) + shift[:, None]


def test_the_network_is_that_of_its_equations():
    """Every weight drawn anew, those that begin at zero or one too."""
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 24, 5, 3, 7, similarity_tokens=2)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, t = torch.randn(3, 2, 8, 8), torch.tensor([2, 300, 999])
    condition, m = nn.functional.normalize(torch.randn(3, 7)), torch.tensor([-0.6, 0.2, 1.0])
    with torch.no_grad():
        got = network(x, t, condition, m)
    wanted = Plainly(network)(x, t, condition, m)
    assert wanted.std() > 0.1
    torch.testing.assert_close(got.double(), wanted, atol=2e-4, rtol=1e-4)


def test_what_begins_at_zero_does():
    network = UViT(replace(SHAPE, similarity_tokens=2, hint_channels=2, hint_px=32))
    for layer in (network.final, network.joined_drive, network.hint):
        assert not any(parameter.any() for parameter in layer.parameters())


def test_a_new_hint_changes_nothing_and_a_learned_one_does():
    torch.manual_seed(0)
    network = UViT(replace(SHAPE, hint_channels=2, hint_px=32))
    torch.nn.init.normal_(network.final.weight)
    x, t, c = torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.randn(1, 8)
    empty, hint = torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    hint[:, 1, :8, 8:16] = 1  # the second patch of the first row
    assert torch.equal(network(x, t, c, hint_BSHW=hint), network(x, t, c, hint_BSHW=empty))
    torch.nn.init.normal_(network.hint.weight)
    embedded = network.hint(to_patches(hint, 8))
    assert embedded[0].any(1).nonzero().flatten().tolist() == [1]
    assert not torch.equal(network(x, t, c, hint_BSHW=hint), network(x, t, c, hint_BSHW=empty))
    with pytest.raises(ConfigError, match=r"source\.image_px: got 30; want a multiple of the 4"):
        UViT(replace(SHAPE, hint_channels=2, hint_px=30))


def test_a_checkpoint_of_version_0_1_is_read_to_the_bit(tmp_path):
    """It calls the hint "seen", in its shape and in its tensors."""
    torch.manual_seed(0)
    shape = replace(SHAPE, hint_channels=2, hint_px=32)
    network = UViT(shape).eval()
    torch.nn.init.normal_(network.final.weight)
    torch.nn.init.normal_(network.hint.weight)
    old_shape = {name.replace("hint_", "seen_"): value for name, value in asdict(shape).items()}
    old_tensors = {
        name.replace("hint.", "seen."): tensor for name, tensor in network.state_dict().items()
    }
    assert {"seen_px", "seen_channels"} < set(old_shape)
    assert "seen.weight" in old_tensors
    old = checkpoint.Checkpoint("editor", old_tensors, {"shape": old_shape}, 7, {}, {}, "")
    checkpoint.save(tmp_path, old)
    loaded = checkpoint.load(str(tmp_path), "editor", "editing.checkpoint")
    again = UViT.from_checkpoint(loaded.config, loaded.tensors).eval()
    assert again.shape == shape
    x, t, c = torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.randn(1, 8)
    hint = torch.randn(1, 2, 32, 32)
    assert torch.equal(network(x, t, c, hint_BSHW=hint), again(x, t, c, hint_BSHW=hint))


def test_a_checkpoint_without_hints_needs_no_names_of_them():
    stored = asdict(SHAPE)
    del stored["hint_channels"], stored["hint_px"], stored["similarity_tokens"]
    assert Shape.from_config({"shape": stored}) == SHAPE


def test_patch_must_divide_the_side():
    with pytest.raises(ValueError, match=r"generator\.patch"):
        UViT(replace(SHAPE, patch=5))


def test_similarity_reaches_the_drawing():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6, similarity_tokens=3)).eval()
    torch.nn.init.normal_(network.final.weight, std=0.1)
    x, t, unit = torch.randn(2, 2, 8, 8), torch.full((2,), 5), torch.randn(2, 6)
    low, high = (network(x, t, unit, torch.full((2,), m)) for m in (-1.0, 1.0))
    assert (low - high).abs().max() > 1e-3
    alone = network(x[:1], t[:1], unit[:1], torch.tensor([1.0]))
    torch.testing.assert_close(alone, high[:1], atol=1e-5, rtol=1e-4)


def test_dropout_reaches_the_identity_alone():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6))
    torch.nn.init.normal_(network.final.weight, std=0.1)
    x, t, unit = torch.randn(2, 2, 8, 8), torch.full((2,), 5), torch.randn(2, 6)
    unitle, again = network(x, t, unit), network(x, t, unit, None, torch.ones(2, 32))
    torch.testing.assert_close(unitle, again)
    blind = network(x, t, unit, None, torch.zeros(2, 32))
    torch.testing.assert_close(blind, network(x, t, unit.flip(0), None, torch.zeros(2, 32)))
    assert (blind - unitle).abs().max() > 1e-3


DEEP = Shape(8, 14, 2, None, 48, 9, 3, 16)
"""As deep as the starter generator."""


@pytest.mark.parametrize(
    "shape", [DEEP, replace(DEEP, similarity_tokens=2), replace(DEEP, width=51)]
)
def test_cast_matrices_draw_what_autocast_draws(shape):
    torch.manual_seed(0)
    network, cast = UViT(shape).eval(), UViT(shape).eval()
    nn.init.normal_(network.final.weight)
    cast.load_state_dict(network.state_dict())
    cast.cast_matrices(torch.bfloat16)
    x, t, unit = torch.randn(4, 8, 14, 14), torch.tensor([3, 3, 70, 9]), torch.randn(4, 16)
    with torch.inference_mode():
        similarity = torch.rand(4)
        with torch.autocast("cpu", torch.bfloat16):
            wanted = network(x, t, unit, similarity)
        assert torch.equal(cast(x, t, unit, similarity), wanted)
        assert not torch.equal(network(x, t, unit, similarity), wanted)  # float32 rounds otherwise


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 250), (torch.float32, 225)])
def test_a_guided_step_launches_few_operations(dtype, most):
    """305 and 269 before matrices were cast once and what is alike in q and k was done together."""
    network = UViT(DEEP).eval()
    network.cast_matrices(dtype)
    noise, unit = torch.randn(2, 8, 14, 14), torch.randn(2, 16)
    conditioning = Conditioning(unit, torch.zeros_like(unit), torch.full((2,), 1.5))
    denoise = guided(network, NoiseSchedule(1000), "v", conditioning)
    counts = launches(lambda: denoise(noise, 500))
    assert counts["addmm"] >= 4 * DEEP.depth  # the matrices of every block were seen
    assert counts.total() <= most
    assert counts["copy_"] <= (30 if dtype is torch.bfloat16 else 2)
