"""Networks of features by path: what they see, what they give, what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from factory.config import FeaturesConfig
from factory.errors import CheckpointError
from factory.evaluation.features import (
    ClipFeatures,
    OnnxFeatures,
    check_networks,
    open_networks,
)
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.similarity import Properties
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import read_metrics
from tests.conftest import PX, save_recognizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    """An .onnx that gives the mean of each channel of a 16 pixel image in [-1, 1], tripled."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Add", ["mean", "mean"], ["twice"]),
        helper.make_node("Add", ["twice", "mean"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 1, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "means", [x], [y]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    path = tmp_path_factory.mktemp("onnx") / "means.onnx"
    onnx.save(model, str(path))
    return str(path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """An untrained CLIP image encoder of a few thousand weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    shape = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=8,
    )
    folder = tmp_path_factory.mktemp("clip")
    CLIPVisionModelWithProjection(shape).save_pretrained(folder)
    return str(folder)


def faces(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_onnx_sees_rgb_from_minus_one_to_one_and_any_length_comes_back(means):
    network = OnnxFeatures(means)
    flat = np.zeros((40, 32, 32, 3), np.uint8)
    flat[..., 0] = 255
    vectors = network.embed(flat)
    assert vectors.shape == (40, 3)
    np.testing.assert_allclose(vectors, [[3, -3, -3]] * 40, atol=1e-5)
    assert not network.has_unit_length


def test_clip_agrees_with_its_own_preprocessing(clip):
    from PIL import Image
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    images = faces(3)
    images = np.stack([np.asarray(Image.fromarray(i).resize((16, 16))) for i in images])
    vectors = ClipFeatures(clip, CPU).embed(images)
    prepared = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16)(
        [Image.fromarray(i) for i in images], return_tensors="pt"
    )
    with torch.inference_mode():
        model = CLIPVisionModelWithProjection.from_pretrained(clip).eval()
        wanted = torch.nn.functional.normalize(model(**prepared).image_embeds)
    np.testing.assert_allclose(vectors, wanted.numpy(), atol=1e-5)


def test_a_release_is_compared_in_them(release_config, means, clip):
    config = release_config(f"features.inception={means}", f"features.clip={clip}")
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    measured = from_json(Properties, read_metrics(store, "properties")).features
    assert {name: one.num_made for name, one in measured.items()} == {"inception": 12, "clip": 12}
    assert min(one.fid for one in measured.values()) > 0
    page = store.get(layout.REPORT).decode()
    assert "<td>inception</td>" in page


def test_a_recognizer_without_a_head_gives_no_quality(weights):
    with pytest.raises(CheckpointError, match=r"features\.quality: .* has no quality head"):
        check_networks(FeaturesConfig(quality=str(weights / "recognizer")), PX)


def test_quality_of_images_of_another_size(tmp_path):
    save_recognizer(tmp_path / "head", seed=3, quality_head=True)
    with pytest.raises(CheckpointError, match=r"features\.quality: sees images of \d+ px; source"):
        check_networks(FeaturesConfig(quality=str(tmp_path / "head")), PX - 1)
    check_networks(FeaturesConfig(quality=str(tmp_path / "head")), PX + 1)  # sees a resized copy


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"inception": "/none.onnx"}, r"features\.inception: no such file"),
        ({"inception": __file__}, r"features\.inception: .* is not a readable \.onnx"),
        ({"clip": "/none"}, r"features\.clip: '/none' has no model\.safetensors"),
    ],
)
def test_networks_that_are_not_there(paths, message):
    with pytest.raises(CheckpointError, match=message):
        open_networks(FeaturesConfig(**paths), CPU)


def test_the_size_that_clip_sees_is_a_part_of_its_digest(clip, tmp_path):
    folder = shutil.copytree(clip, tmp_path / "clip")
    assert ClipFeatures(str(folder), CPU).sha256 == ClipFeatures(clip, CPU).sha256
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"hidden_act": "quick_gelu"', '"hidden_act": "gelu"'))
    assert ClipFeatures(str(folder), CPU).sha256 != ClipFeatures(clip, CPU).sha256
