"""A maker's parts on a GPU: exact scores, pixels that stay there, a compiled network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.diffusion.compiled import CompiledNetwork
from factory.diffusion.uvit import Shape, UViT
from factory.images import on_host, to_network, to_pixels
from factory.quality.nearest import FixedPeople
from factory.quality.pixels import sharpness_and_brightness
from tests.vectors import unit_rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_the_nearest_are_those_of_the_cpu():
    unit_ND, unit_BD = unit_rows(0, 200_000, 512), unit_rows(1, 300, 512)
    own = np.arange(300) * 600
    here, there = FixedPeople(unit_ND, CPU), FixedPeople(unit_ND, GPU)
    for got, wanted in zip(there.nearest(unit_BD, own), here.nearest(unit_BD, own), strict=True):
        assert np.array_equal(got, wanted)


def test_images_are_seen_and_measured_as_on_the_cpu():
    images = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
    there = torch.from_numpy(images).to(GPU)
    assert torch.equal(to_network(there).cpu(), to_network(images))
    assert np.array_equal(on_host(to_pixels(to_network(there))), images)
    assert sharpness_and_brightness(there) == sharpness_and_brightness(images)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # torch's own first one is
def test_a_compiled_network_draws_what_it_draws_uncompiled():
    torch.manual_seed(0)
    network = UViT(Shape(8, 14, 2, None, 240, 9, 5, 256)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.final.weight)
    network.cast_matrices(torch.bfloat16)
    network.to(GPU)
    compiled = CompiledNetwork(network, GPU)
    x, unit = torch.randn(16, 8, 14, 14, device=GPU), torch.randn(16, 256, device=GPU)
    t = torch.full((16,), 500, device=GPU)
    with torch.inference_mode():
        wanted = network(x, t, unit)
        answers = [compiled(x, t, unit) for _ in range(3)]
    for answer in answers:
        assert float((answer - wanted).norm() / wanted.norm()) < 0.02
    assert torch.equal(answers[1], answers[2])
