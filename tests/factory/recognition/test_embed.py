"""Embedders: mirror images summed, any batch size, an ONNX model as a backbone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory.recognition.embed import OnnxBackbone, Recognizer, with_mirror
from tests.conftest import DIM, PX, draw_face, save_recognizer

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, PX, PX, 3), dtype=np.uint8)


class LeftHalf:
    """Embeds by the brightness b of an image's left half: (2b, 1 - b), and normalized."""

    mirror_sum = "unit"

    def features(self, images_NHWC):
        bright_N = images_NHWC[:, :, : images_NHWC.shape[2] // 2].mean((1, 2, 3)) / 255
        return np.stack([2 * bright_N, 1 - bright_N], 1)

    def embed(self, images_NHWC):
        feature_N2 = self.features(images_NHWC)
        return feature_N2 / np.linalg.norm(feature_N2, axis=1, keepdims=True)


def test_image_and_mirror_image_are_summed_and_normalized():
    half = np.zeros((1, 4, 4, 3), np.uint8)
    half[:, :, :2] = 255  # the left half is white: (1, 0); its mirror image is black there: (0, 1)
    np.testing.assert_allclose(LeftHalf().embed(half), [[1, 0]])
    np.testing.assert_allclose(with_mirror(LeftHalf(), half), [[0.5**0.5, 0.5**0.5]])


def test_raw_features_count_by_their_length_as_insightface_sums_them():
    """(2, 0) and (0, 1) are (2, 1) together, where their unit vectors are (1, 1)."""
    half = np.zeros((1, 4, 4, 3), np.uint8)
    half[:, :, :2] = 255
    raw = LeftHalf()
    raw.mirror_sum = "raw"
    np.testing.assert_allclose(with_mirror(raw, half), [[2 / 5**0.5, 1 / 5**0.5]])


@pytest.fixture
def recognizer(weights):
    return Recognizer.load(str(weights / "recognizer"), CPU)


def test_a_recognizer_sums_mirror_images_too(recognizer):
    both = recognizer.embed(IMAGES) + recognizer.embed(IMAGES[:, :, ::-1])
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    np.testing.assert_allclose(recognizer.embed_with_mirror(IMAGES), both, atol=1e-6)
    assert not np.allclose(recognizer.embed(IMAGES), both, atol=1e-3)


def test_a_checkpoint_says_what_is_summed_and_kept_vectors_do_not_depend_on_it(tmp_path):
    """Whose name is the sha256 of the weights alone, so one digest must stand for one space."""
    save_recognizer(tmp_path / "weights", seed=1)
    older = Recognizer.load(str(tmp_path / "weights"), CPU)  # of a factory that wrote none
    file = tmp_path / "weights/checkpoint.json"
    metadata = json.loads(file.read_text())
    file.write_text(json.dumps(metadata | {"config": metadata["config"] | {"mirror_sum": "raw"}}))
    raw = Recognizer.load(str(tmp_path / "weights"), CPU)
    assert (older.mirror_sum, raw.mirror_sum) == ("unit", "raw")
    assert older.sha256 == raw.sha256
    assert np.array_equal(older.embed(IMAGES), raw.embed(IMAGES))
    features = raw.features(IMAGES) + raw.features(IMAGES[:, :, ::-1])
    wanted = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(raw.embed_with_mirror(IMAGES), wanted, atol=1e-6)
    assert not np.allclose(raw.embed_with_mirror(IMAGES), older.embed_with_mirror(IMAGES))
    np.testing.assert_allclose(np.linalg.norm(raw.embed_with_mirror(IMAGES), axis=1), 1, atol=1e-5)


def test_embeddings_are_unit_vectors_whatever_the_batch(recognizer):
    whole = recognizer.embed(IMAGES)
    assert whole.shape == (5, DIM)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(recognizer.embed(IMAGES, batch_size=2), whole, atol=1e-5)


def test_identity_losses_reach_the_image_and_not_the_backbone(recognizer):
    x_BCHW = torch.zeros(1, 3, PX, PX, requires_grad=True)
    assert recognizer.has_gradients
    recognizer.unit_features(x_BCHW)[0, 0].backward()
    assert x_BCHW.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in recognizer.backbone.parameters())


def save_mean_network(path, count: int | str) -> bytes:
    """An ONNX network that answers with the mean of each color."""
    onnx = pytest.importorskip("onnx", reason="needs the extra eval")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [count, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path.read_bytes()


@pytest.mark.parametrize("count", ["n", 2])
def test_an_onnx_backbone_gets_pixels_normalized_as_it_wants_in_any_number(tmp_path, count):
    model = save_mean_network(tmp_path / "mean.onnx", count)
    backbone = OnnxBackbone(model, mean=50.0, std=25.0, device=CPU)
    levels = torch.tensor([0.0, 100.0, 250.0])
    x_BCHW = (levels / 127.5 - 1).view(3, 1, 1, 1).expand(3, 3, 8, 8)
    wanted = ((levels - 50) / 25).view(3, 1).expand(3, 3)
    torch.testing.assert_close(backbone(x_BCHW), wanted, atol=1e-4, rtol=0)


def test_images_on_the_device_are_embedded_as_those_in_memory(tmp_path):
    save_recognizer(tmp_path, seed=1)
    recognizer = Recognizer.load(str(tmp_path), CPU)
    images = np.stack([draw_face(i, 0, PX) for i in range(5)])
    wanted = recognizer.embed(images, batch_size=2)
    assert np.array_equal(recognizer.embed(torch.from_numpy(images), batch_size=2), wanted)


def test_processes_map_one_copy_of_many_prototypes(tmp_path, monkeypatch):
    save_recognizer(tmp_path / "weights", seed=1)
    plain = Recognizer.load(str(tmp_path / "weights"), CPU)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("factory.recognition.embed.SHARED_FROM_BYTES", 1)
    shared = Recognizer.load(str(tmp_path / "weights"), CPU)
    file = tmp_path / f"face-factory/rows/{plain.sha256}.prototypes.real.f32"
    assert np.array_equal(np.fromfile(file, np.float32), plain.unit_real.ravel())
    assert np.array_equal(shared.unit_real, plain.unit_real)
    assert str(file) in open("/proc/self/maps").read()


def test_larger_images_are_resized_where_they_are(tmp_path):
    """By triangles as wide as a pixel of the smaller image: each weighs the rows that it covers."""
    save_recognizer(tmp_path, seed=1)
    recognizer = Recognizer.load(str(tmp_path), CPU)
    ramp = np.broadcast_to(np.arange(2 * PX)[:, None, None], (1, 2 * PX, 2 * PX, 3))
    large = (ramp * 255 // (2 * PX)).astype(np.uint8)
    x_BCHW = recognizer._seen(large)
    levels = large[0, :, 0, 0] / 127.5 - 1
    weights = np.array([1, 3, 3, 1]) / 8
    inside = [float(weights @ levels[2 * i - 1 : 2 * i + 3]) for i in range(1, PX - 1)]
    assert x_BCHW.shape == (1, 3, PX, PX)
    np.testing.assert_allclose(x_BCHW[0, 0, 1:-1, 5], inside, atol=1e-6)
    unit = recognizer.embed(large)
    assert np.array_equal(recognizer.embed(torch.from_numpy(large)), unit)
    smaller = np.round((x_BCHW.permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)
    assert (unit @ recognizer.embed(smaller).T).item() > 0.999
