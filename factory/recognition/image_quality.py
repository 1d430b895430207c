"""The quality of the images of pairs, by the table or the network that section quality names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from factory.config import QualityConfig
from factory.errors import ConfigError
from factory.recognition.fiqa import OnnxQuality
from factory.recognition.pairs import Pairs
from factory.recognition.quality_table import read_quality


class PairQuality:
    """How good the images of pairs are, and who says so.

    Raises ConfigError where two are to say it, and as `read_quality` and `OnnxQuality` do.
    """

    def __init__(self, config: QualityConfig, pairs: Pairs, device: torch.device) -> None:
        if config.table and config.model:
            raise ConfigError(
                f"quality.table: got {config.table!r} beside quality.model={config.model!r}; want "
                "one of them, and null for the other"
            )
        self._pairs, self._model = pairs, None
        self._table_2N: np.ndarray | None = None
        self.name = ""
        """What measures it; empty where nothing does."""
        if config.table:
            self._table_2N = read_quality(config, pairs.image_keys)
            self.name = f"{Path(config.table).name}, {config.column}"
        elif config.model:
            self._model, self.name = OnnxQuality(config, device), Path(config.model).name

    def measure(self) -> np.ndarray | None:
        """Quality [2N], NaN where it could not be assessed; None where nothing measures it."""
        if self._model:
            return self._model.scores(self._pairs.images_NHWC).astype(np.float64)
        return self._table_2N
