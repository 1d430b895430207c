"""Captions from tables: what they say, what is left out, what is refused."""

import numpy as np
import pytest
import torch

from factory.config import BaseTrainingConfig
from factory.errors import CheckpointError, SourceError
from factory.text_to_image.captions import Captioner, Captions

KEYS, NAMES = ["a/0", "a/1", "b/0"], ["a", "a", "b"]
EVERY = np.zeros(3, bool)


@pytest.fixture
def tables(tmp_path):
    people, images = tmp_path / "people.csv", tmp_path / "images.csv"
    people.write_text("identity,hair\na,brown\nb,gray\n")
    images.write_text("key,yaw_deg,expression\na/0,-20,smile\na/1,3,neutral\nb/0,31,smile\n")
    return (str(people), str(images))


def captions(tables):
    phrases = ("{hair} hair", "looking {direction}")
    config = BaseTrainingConfig(
        tables=tables, caption="photo", phrases=phrases, phrase_dropout=0.0, caption_dropout=0.0
    )
    return Captions(config, KEYS, NAMES)


def test_rows_of_people_and_of_images_meet(tables):
    assert captions(tables).everything() == [
        "photo, brown hair, looking left",
        "photo, brown hair, looking ahead",
        "photo, gray hair, looking right",
    ]


def test_mirrors_look_the_other_way(tables):
    rng = np.random.default_rng(0)
    texts = captions(tables).draw(np.array([0, 1, 2]), np.array([True, True, False]), rng)
    assert [text.rpartition(" ")[2] for text in texts] == ["right", "ahead", "right"]


def test_phrases_and_captions_are_left_out_as_often_as_configured(tables):
    config = BaseTrainingConfig(
        tables=tables, phrases=("{hair} hair",), phrase_dropout=0.3, caption_dropout=0.2
    )
    rng = np.random.default_rng(0)
    texts = Captions(config, KEYS, NAMES).draw(np.zeros(4000, int), np.zeros(4000, bool), rng)
    assert texts.count("") / 4000 == pytest.approx(0.2, abs=0.02)
    assert texts.count("photo of a person") / 4000 == pytest.approx(0.8 * 0.3, abs=0.02)


def test_tables_that_do_not_fit_are_named(tables, tmp_path):
    with pytest.raises(SourceError, match=r"no file 'nowhere\.csv'"):
        captions(("nowhere.csv",))
    with pytest.raises(SourceError, match=r"'\{hair\} hair' wants a column 'hair'"):
        captions(tables[1:])
    short = tmp_path / "short.csv"
    short.write_text("identity,hair\na,brown\n")
    with pytest.raises(
        SourceError,
        match=r"short\.csv has no row \(column 'identity'\) for 1 of 3 images, first image 3",
    ):
        captions((str(short),))


def test_a_blip_is_read_from_its_folder(tmp_path):
    """An untrained one: what it says is nothing, but it says something of every image."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "a", "face", "of"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(vocab_file=str(tmp_path / "vocab.txt"))
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = small | {"num_attention_heads": 2, "vocab_size": len(words), "encoder_hidden_size": 16}
    text |= {"bos_token_id": 5, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    vision = small | {"num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    model.save_pretrained(tmp_path)
    reader = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(reader, tokenizer).save_pretrained(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), dtype=np.uint8)
    texts = Captioner(str(tmp_path), torch.device("cpu")).of(images, batch_size=2)
    assert len(texts) == 3
    assert all(isinstance(text, str) for text in texts)
    config = BaseTrainingConfig(caption_dropout=0.0)
    captions = Captions(config, ["a", "b", "c"], ["a"] * 3, ["a hat", "a cat", "a mat"])
    drawn = captions.draw(np.arange(3), EVERY, np.random.default_rng(0))
    assert drawn == ["a hat", "a cat", "a mat"]  # whole: no phrase of it is left out
    others = Captions(config, ["a", "b", "c"], ["a"] * 3, ["a hat", "a cat", "a dog"])
    assert captions.digest != others.digest
    with pytest.raises(CheckpointError, match=r"inpainting_training\.captioner: .* holds no BLIP"):
        Captioner(str(tmp_path / "none"), torch.device("cpu"))
