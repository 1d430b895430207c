"""Segmenters from local folders: untrained tiny ones, saved as their libraries save them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.config.editing import InpaintingTrainingConfig, RegionsConfig
from factory.editing.segmenters import (
    GroundingDino,
    OnnxSegmenter,
    SamSegmenter,
    boxes_about,
    open_segmenter,
    segmenter_sha256,
)
from factory.errors import CheckpointError
from factory.sources.alignment import TEMPLATE_52

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)
POINTS = np.repeat(TEMPLATE_52[None], 2, 0)


def save_onnx(path, channels: int, bias: float = 0.0, count="n", side="s") -> str:
    """A network that calls red what is more than half red."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((channels, 3, 1, 1), np.float32)
    weight[-1, 0] = 50
    offset = np.full(channels, bias, np.float32)
    offset[0] += 5 * (channels > 1)  # the background
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "red",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [count, 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count, channels, side, side])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(offset, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return str(path)


def save_sam(folder) -> str:
    from transformers import SamConfig, SamModel
    from transformers.models.sam.configuration_sam import (
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[0],
        mlp_dim=16,
        num_pos_feats=8,
    )
    prompt = SamPromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=16,
        mlp_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        iou_head_hidden_dim=16,
    )
    SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    ).eval().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_an_onnx_network_of_any_number_of_classes(tmp_path, channels):
    segmenter = OnnxSegmenter(save_onnx(tmp_path / "red.onnx", channels))
    images = np.zeros((1, 112, 112, 3), np.uint8)
    images[:, 20:60, 30:70, 0] = 255
    face = segmenter.faces(images, POINTS[:1])[0]
    assert face.shape == (112, 112)
    assert (face[20:60, 30:70] > 0.9).all()
    assert (face[80:] < 0.1).all()


def test_an_onnx_network_of_a_fixed_size_sees_faces_one_by_one(tmp_path):
    free = OnnxSegmenter(save_onnx(tmp_path / "free.onnx", 1))
    fixed = OnnxSegmenter(save_onnx(tmp_path / "fixed.onnx", 1, count=1, side=224))
    images = np.zeros((3, 112, 112, 3), np.uint8)
    images[1, 20:60, 30:70, 0] = 255
    points = np.repeat(TEMPLATE_52[None], 3, 0)
    faces = [segmenter.faces(images, points) for segmenter in (free, fixed)]
    assert faces[1].shape == (3, 112, 112)
    assert np.abs(faces[0] - faces[1]).mean() < 0.02


def test_sam_answers_for_every_image(tmp_path):
    segmenter = SamSegmenter(save_sam(tmp_path / "sam"), None, CPU)
    face = segmenter.faces(IMAGES, POINTS)
    assert face.shape == (2, 112, 112)
    assert ((face >= 0) & (face <= 1)).all()
    elsewhere = POINTS.copy()
    elsewhere[:] = POINTS * 0.3
    assert (segmenter.faces(IMAGES, elsewhere) != face).any()  # the box is its prompt


def test_boxes_hold_the_face_and_stay_in_the_image():
    boxes = boxes_about(np.stack([TEMPLATE_52, np.full((5, 2), np.nan)]), 112)
    left, top, right, bottom = boxes[0]
    assert left < 20 < 90 < right
    assert top < 25 < 105 < bottom
    assert (boxes >= 0).all()
    assert (boxes <= 112).all()
    assert boxes[1].tolist() == [0, 0, 112, 112]


class FakeDino(GroundingDino):
    """Boxes without a network."""

    def __init__(self, score):
        self._tokens, self._device = {}, CPU
        logits, boxes = torch.full((1, 2, 3), -9.0), torch.zeros(1, 2, 4)
        logits[0, 1] = torch.logit(torch.tensor(score))
        boxes[0, 1] = torch.tensor([0.5, 0.5, 0.5, 0.25])
        output = type("Output", (), {"logits": logits, "pred_boxes": boxes})()
        self._model = lambda **inputs: output


def test_the_best_box_counts_where_it_is_sure():
    otherwise = np.array([[1.0, 2, 3, 4]] * 2)
    sure = FakeDino(0.9).boxes(IMAGES, otherwise)
    np.testing.assert_allclose(sure[0], [28, 42, 84, 70], atol=1e-4)
    assert (FakeDino(0.1).boxes(IMAGES, otherwise) == otherwise).all()


def test_a_grounding_dino_is_opened_from_its_folder(tmp_path):
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "face", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    swin = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    torch.manual_seed(0)
    model = GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1,
            decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
            decoder_attention_heads=2, num_queries=4, max_text_len=16,
        )
    )  # fmt: skip
    model.save_pretrained(tmp_path)
    BertTokenizer(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    segmenter = GroundingDino(str(tmp_path), "a face.", CPU)
    boxes = segmenter.boxes(IMAGES, boxes_about(POINTS, 112))
    assert boxes.shape == (2, 4)
    assert np.isfinite(boxes).all()
    config = RegionsConfig(
        segmenter="sam", segmenter_path=save_sam(tmp_path / "sam"), grounding=str(tmp_path)
    )
    assert open_segmenter(config, CPU).faces(IMAGES, POINTS).shape == (2, 112, 112)
    before = segmenter_sha256(config)
    (tmp_path / "vocab.txt").write_text("other words")  # another text is looked for
    assert segmenter_sha256(config) != before


def test_digests_and_what_is_missing(tmp_path):
    assert segmenter_sha256(RegionsConfig()) is None
    assert open_segmenter(RegionsConfig(), CPU) is None
    path = save_onnx(tmp_path / "a.onnx", 1)
    config = RegionsConfig(segmenter="onnx", segmenter_path=path)
    first = segmenter_sha256(config)
    assert isinstance(open_segmenter(config, CPU), OnnxSegmenter)
    save_onnx(tmp_path / "a.onnx", 1, bias=1.0)
    assert segmenter_sha256(config) != first
    empty = RegionsConfig(segmenter="sam", segmenter_path=str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"editing\.segmenter_path: .* holds no sam"):
        segmenter_sha256(empty)
    with pytest.raises(CheckpointError, match="holds no SamModel"):
        open_segmenter(empty, CPU)
    training = InpaintingTrainingConfig(
        segmenter="onnx", segmenter_path=str(tmp_path / "none.onnx")
    )
    with pytest.raises(CheckpointError, match=r"inpainting_training\.segmenter_path: no file"):
        segmenter_sha256(training)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="not a network that onnxruntime reads"):
        OnnxSegmenter(str(broken))
