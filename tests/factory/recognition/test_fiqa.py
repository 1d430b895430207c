"""Networks of quality: which images they see, and which networks are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.config import QualityConfig
from factory.errors import CheckpointError
from factory.recognition import fiqa
from factory.recognition.fiqa import OnnxQuality
from tests.networks_of_quality import PX, write_quality

CPU = torch.device("cpu")


def images(count: int = 5, px: int = PX) -> np.ndarray:
    """Red images, each darker than the one before, with a little blue."""
    made = np.zeros((count, px, px, 3), np.uint8)
    made[..., 0] = 200 - 10 * np.arange(count)[:, None, None]
    made[..., 2] = 7
    return made


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_a_network_gives_a_number_for_each_image(tmp_path, batch):
    network = OnnxQuality(QualityConfig(model=write_quality(tmp_path / "q.onnx", batch)), CPU)
    expected = (200 - 10 * np.arange(5)) / 127.5 - 1
    np.testing.assert_allclose(network.scores(images()), expected, atol=1e-6)
    np.testing.assert_allclose(network.scores(torch.from_numpy(images())), expected, atol=1e-6)
    assert network.scores(images(0)).shape == (0,)


@pytest.mark.parametrize(
    ("channels", "pixels", "first"),
    [
        ("rgb", "signed", 200 / 127.5 - 1),
        ("bgr", "signed", 7 / 127.5 - 1),
        ("rgb", "unit", 200 / 255),
        ("bgr", "bytes", 7),
    ],
)
def test_it_sees_the_colors_and_the_range_that_it_was_trained_on(tmp_path, channels, pixels, first):
    model = write_quality(tmp_path / "q.onnx")
    network = OnnxQuality(QualityConfig(model=model, channels=channels, pixels=pixels), CPU)
    assert network.scores(images(1))[0] == pytest.approx(first, abs=1e-5)


def test_images_of_another_size_are_resized(tmp_path):
    network = OnnxQuality(QualityConfig(model=write_quality(tmp_path / "q.onnx")), CPU)
    np.testing.assert_allclose(
        network.scores(images(px=2 * PX)), network.scores(images()), atol=1e-6
    )


def test_what_is_no_such_network_is_one_line(tmp_path, monkeypatch):
    def refused(model: str) -> str:
        with pytest.raises(CheckpointError, match=r"^quality\.model: ") as told:
            OnnxQuality(QualityConfig(model=model), CPU)
        assert "\n" not in str(told.value)
        return str(told.value)

    assert "want an .onnx that is on disk" in refused(str(tmp_path / "none.onnx"))
    assert "want an .onnx that is on disk" in refused(__file__)
    (tmp_path / "x.onnx").write_bytes(b"no network")
    two = write_quality(tmp_path / "two.onnx", outputs=2)
    assert "is not a readable .onnx" in refused(str(tmp_path / "x.onnx"))
    assert "q0 [2, 1], q1 [2, 1], means [2, 3] for 2 images; want one output" in refused(two)
    monkeypatch.setattr(fiqa, "MAX_BYTES", 10)
    assert "is larger than" in refused(two)


def test_a_network_that_needs_another_input_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra eval")
    model = onnx.load(write_quality(tmp_path / "q.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, tmp_path / "gray.onnx")
    with pytest.raises(CheckpointError, match=r"want one input \[N, 3, S, S\]"):
        OnnxQuality(QualityConfig(model=str(tmp_path / "gray.onnx")), CPU)


def test_without_onnxruntime_the_pip_line_is_named(tmp_path, monkeypatch):
    model = write_quality(tmp_path / "q.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match=r"pip install 'face-factory\[eval\]'"):
        OnnxQuality(QualityConfig(model=model), CPU)
