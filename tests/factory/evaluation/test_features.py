"""Networks of features by path: what they see, what they give, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory.config import FeaturesConfig
from factory.errors import CheckpointError, ConfigError
from factory.evaluation.features import (
    ClipFeatures,
    OnnxFeatures,
    check_networks,
    open_networks,
)
from factory.execution.inline import run_units
from factory.recognition.embed import Recognizer
from factory.release import build
from factory.shards import layout
from factory.sources import open_source, read_faces
from factory.store import LocalStore
from tests.conftest import IMAGES, PX, save_recognizer

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
    found = network.embed(flat)
    assert found.shape == (40, 3)
    np.testing.assert_allclose(found, [[3, -3, -3]] * 40, atol=1e-5)
    assert not network.has_unit_length


def test_clip_agrees_with_its_own_preprocessing(clip):
    from PIL import Image
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    images = faces(3)
    images = np.stack([np.asarray(Image.fromarray(i).resize((16, 16))) for i in images])
    found = ClipFeatures(clip, CPU).embed(images)
    prepared = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16)(
        [Image.fromarray(i) for i in images], return_tensors="pt"
    )
    with torch.inference_mode():
        model = CLIPVisionModelWithProjection.from_pretrained(clip).eval()
        wanted = torch.nn.functional.normalize(model(**prepared).image_embeds)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_release_is_compared_in_them(release_config, means, clip):
    config = release_config(f"features.inception={means}", f"features.clip={clip}")
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    found = json.loads(store.get("metrics/properties.json"))["features"]
    assert {name: seen["num_made"] for name, seen in found.items()} == {"inception": 12, "clip": 12}
    assert min(seen["fid"] for seen in found.values()) > 0
    page = store.get(layout.REPORT).decode()
    assert "<td>inception</td>" in page


def test_quality_and_a_further_set_stand_beside_the_source(release_config, people, tmp_path):
    head = save_recognizer(tmp_path / "head", seed=3, quality_head=True)
    few = f"kind: folder, path: {people}, image_px: {PX}, num_identities: 2"
    config = release_config(
        f"features.quality={tmp_path / 'head'}", f"features.reference_sets=[{{{few}}}]"
    )
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    found = json.loads(store.get("metrics/properties.json"))
    recognizer = Recognizer.load(str(tmp_path / "head"), CPU)
    assert recognizer.sha256 == head
    source = read_faces(open_source(config.source), 0).images_NHWC
    scores = recognizer.cr_fiqa(source)
    wanted = {"mean": pytest.approx(scores.mean(), abs=1e-5), "std": pytest.approx(scores.std())}
    assert found["quality"]["source"] == wanted
    other = found["beside"][people.name]
    assert other["num_images"] == 2 * IMAGES
    assert other["quality"]["mean"] == pytest.approx(scores[: 2 * IMAGES].mean(), abs=1e-5)
    assert other["judge"]["num_real"] == 2 * IMAGES
    page = store.get(layout.REPORT).decode()
    assert f"judge, against {people.name}" in page
    assert "<th>CR-FIQA</th>" in page


def test_a_recognizer_without_a_head_gives_no_quality(weights):
    with pytest.raises(CheckpointError, match=r"features\.quality: .* has no quality head"):
        check_networks(FeaturesConfig(quality=str(weights / "recognizer")), PX)


def test_quality_of_images_of_another_size(tmp_path):
    save_recognizer(tmp_path / "head", seed=3, quality_head=True)
    with pytest.raises(CheckpointError, match=r"features\.quality: sees images of \d+ px; source"):
        check_networks(FeaturesConfig(quality=str(tmp_path / "head")), PX + 1)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (
            "kind: folder, path: x/source.tar, image_px: 32",
            r"\[0\]\.path: another set is called 's",
        ),
        ("kind: starter, image_px: 64", r"\[0\]\.image_px: got 64; want source\.image_px"),
    ],
)
def test_further_sets_are_checked_with_the_config(release_config, beside, message):
    beside = beside.replace("32", str(PX))
    with pytest.raises(ConfigError, match=r"features\.beside" + message):
        release_config(f"features.reference_sets=[{{{beside}}}]")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"inception": "/none.onnx"}, r"features\.inception: no such file"),
        ({"inception": __file__}, r"features\.inception: .* is not a readable \.onnx"),
        ({"clip": "/none"}, r"features\.clip: '/none' has no model\.safetensors"),
    ],
)
def test_networks_that_are_not_there(asked, message):
    with pytest.raises(CheckpointError, match=message):
        open_networks(FeaturesConfig(**asked), CPU)
