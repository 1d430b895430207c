"""Captions of images, from tables that describe them or by a captioning network (BLIP).

They are in the memory of each process, as the tables are: captioned sources are small.
"""

from __future__ import annotations

import hashlib
import string

import numpy as np
import torch

from factory.config import BaseTrainingConfig
from factory.errors import CheckpointError, SourceError
from factory.tables import Table, UserFile, nfc
from factory.training.rows import Rows

TURNED_DEG = 12.0
"""Yaw above which a face looks left or right."""


class Captions:
    """Captions of a source's images: how each begins, and the phrases that may follow."""

    def __init__(
        self,
        config: BaseTrainingConfig,
        keys: list[str],
        names: list[str],
        sentences: list[str] | None = None,
    ) -> None:
        """`keys` are those of the images, `names` those of their people, in order.

        `sentences` begin the captions instead of base_training.caption. Raises SourceError for a
        table or a phrase that does not fit them.
        """
        self._config = config
        self._begun = sentences or [config.caption] * len(keys)
        rows: list[dict[str, str]] = [{} for _ in keys]
        for file in config.tables:
            _describe(file, keys, names, rows)
        self.phrases = [[_filled(phrase, row) for phrase in config.phrases] for row in rows]

    def everything(self) -> list[str]:
        """Every caption in full, to learn a vocabulary from."""
        return [self._joined(row, phrases) for row, phrases in enumerate(self.phrases)]

    @property
    def digest(self) -> str:
        """sha256 of every caption, and of how often phrases and captions are left out."""
        left_out = (self._config.phrase_dropout, self._config.caption_dropout)
        return hashlib.sha256(repr((self._begun, self.phrases, left_out)).encode()).hexdigest()

    def draw(self, rows: np.ndarray, mirrored: np.ndarray, rng: np.random.Generator) -> list[str]:
        """A caption of each row, some phrases and some captions left out.

        A mirrored face that looked left looks right.
        """
        config, captions = self._config, []
        for row, flipped in zip(rows, mirrored, strict=True):
            phrases = [p for p in self.phrases[row] if rng.random() >= config.phrase_dropout]
            text = self._joined(row, [_swapped(p) for p in phrases] if flipped else phrases)
            captions.append("" if rng.random() < config.caption_dropout else text)
        return captions

    def _joined(self, row: int, phrases: list[str]) -> str:
        return ", ".join([self._begun[row], *phrases])


class Captioner:
    """Writes captions by BLIP (Li et al. 2022), from a local folder."""

    def __init__(self, folder: str, device: torch.device) -> None:
        """Raises CheckpointError for a folder that holds none."""
        from transformers import BlipForConditionalGeneration, BlipProcessor

        try:
            self._reader = BlipProcessor.from_pretrained(folder, local_files_only=True)
            model = BlipForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"inpainting_training.captioner: {folder} holds no BLIP ({type(error).__name__}); "
                "want the folder of one, as transformers saves it, with .safetensors"
            ) from None
        self._model, self._device = model.eval().to(device), device

    @torch.no_grad()
    def of(self, images_NHWC: np.ndarray | Rows, batch_size: int = 16) -> list[str]:
        """A sentence about each RGB uint8 image."""
        texts: list[str] = []
        for start in range(0, len(images_NHWC), batch_size):
            batch = list(images_NHWC[start : start + batch_size])
            pixels = self._reader(images=batch, return_tensors="pt").pixel_values
            ids = self._model.generate(pixel_values=pixels.to(self._device), max_new_tokens=24)
            texts += self._reader.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]


def _describe(file: str, keys: list[str], names: list[str], rows: list[dict[str, str]]) -> None:
    """Add a table's columns to the rows."""
    read = Table(UserFile("base_training.tables", file, "a CSV with a header, in UTF-8"))
    by = "key" if "key" in read.columns else read.columns[0]
    table = read.keyed(by)
    wanted = [nfc(name) for name in (keys if by == "key" else names)]
    missing = [place for place, name in enumerate(wanted) if name not in table]
    if missing:
        raise SourceError(
            f"base_training.tables: {file} has no row (column {by!r}) for {len(missing)} of "
            f"{len(wanted)} images, first image {missing[0] + 1} in the order of keys; add them"
        )
    for name, row in zip(wanted, rows, strict=True):
        row.update(table[name])


def _filled(phrase: str, row: dict[str, str]) -> str:
    if "{direction}" in phrase and "yaw_deg" in row:
        yaw = float(row["yaw_deg"])
        side = "left" if yaw < 0 else "right"
        row = row | {"direction": side if abs(yaw) > TURNED_DEG else "ahead"}
    wanted = {name for _, name, _, _ in string.Formatter().parse(phrase) if name}
    missing = sorted(wanted - set(row))
    if missing:
        raise SourceError(
            f"base_training.phrases: {phrase!r} wants a column {missing[0]!r}; the tables have "
            f"{', '.join(sorted(row)) or 'none'}"
        )
    return phrase.format(**row)


def _swapped(phrase: str) -> str:
    """The phrase with left and right exchanged."""
    other = {"left": "right", "right": "left"}
    return " ".join(other.get(word, word) for word in phrase.split(" "))
