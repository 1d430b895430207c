"""Rendering with cuda_ad_rgb: the same parts and nearly the same light as on CPU cores.

Each variant in a process of its own, because it holds for a process.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

RENDER = """
from factory.rendering.scene.scene import SceneRenderer
from tests.factory.rendering.scenes import straight_frame
from tests.factory.rendering.test_scene import noisy_scene
parts, light = noisy_scene()
images = [SceneRenderer("{}", 64, 3).render(parts, light, straight_frame(), 5) for _ in range(2)]
assert images[0].light_HWC.tobytes() == images[1].light_HWC.tobytes()
print(images[0].light_HWC.mean(), (images[0].shown_HW == 1).sum())
"""


def test_cuda_shows_the_same_parts_and_nearly_the_same_light():
    cpu, gpu = (
        [
            float(figure)
            for figure in subprocess.check_output(
                [sys.executable, "-c", RENDER.format(variant)]
            ).split()
        ]
        for variant in ("scalar_rgb", "cuda_ad_rgb")
    )
    assert gpu == pytest.approx(cpu, rel=0.05)
