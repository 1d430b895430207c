"""How far a training is: where it resumes, its clock, its log and its saved states.

States are kept in a folder that all ranks see (`folder_states`) or in a bucket (`bucket_states`),
as training.out says; `history.jsonl` keeps what was logged. All training loops use it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from factory.config import (
    AutoencoderConfig,
    BaseTrainingConfig,
    DistillationConfig,
    GeneratorConfig,
    InpaintingTrainingConfig,
    RecognizerConfig,
    StoreConfig,
    TrainingConfig,
)
from factory.errors import CheckpointError, ConfigError
from factory.records import Log, Progress
from factory.store import open_store
from factory.store.atomic import append_line, write_atomically
from factory.store.json_text import json_text
from factory.training.bucket_states import BucketStates
from factory.training.distributed import FirstRankSays, mean_over_ranks, rank
from factory.training.folder_states import FolderStates
from factory.training.identity import difference

Recipe = (
    RecognizerConfig
    | AutoencoderConfig
    | GeneratorConfig
    | DistillationConfig
    | BaseTrainingConfig
    | InpaintingTrainingConfig
)
NUM_RECENT = 200
"""Losses whose mean a log line and the final metrics give."""


class RunState:
    """The steps of a training. `folder` is the state to resume from, or None at the beginning.

    Raises CheckpointError when training.out holds a training of another recipe: a resume that
    changes it would be neither of the two.
    """

    def __init__(
        self,
        training: TrainingConfig,
        recipe: Recipe,
        data: str,
        log: Log = print,
        *,
        store: StoreConfig | None = None,
        wanted: Callable[[str], bool] = lambda file: True,
    ) -> None:
        """`data` is the text of all that decides the training data, see identity.py.

        `store` has the options of a bucket. This rank needs the files of a state whose names are
        `wanted`; a bucket's others stay there.
        """
        self._training, self._write_line, self._data = training, log, data
        self._states = _open_states(training, store or StoreConfig(), log)
        self.out = self._states.out
        if isinstance(recipe, RecognizerConfig | AutoencoderConfig | GeneratorConfig):
            recipe = dataclasses.replace(recipe, checkpoint="")  # which a training does not read
        decides = repr((recipe, training.seed, data))
        self.recipe = hashlib.sha256(decides.encode()).hexdigest()
        self.first_step, self._seconds_before = 0, 0.0
        self._recent: list[float] = []
        self._section = section_of(recipe)
        self.folder = self._states.latest(wanted)
        if self.folder:
            state = json.loads((self.folder / "progress.json").read_text())
            if state["recipe"] != self.recipe:
                raise CheckpointError(
                    f"training.out: {training.out} was begun with other settings or faces"
                    f"{difference(state.get('data'), data)}; go on with those, or choose another "
                    "folder"
                )
            self.first_step, self._seconds_before = state["step"], state["seconds"]
            self._recent = state["losses"]
        self._started = time.monotonic()
        self._losses: list[torch.Tensor] = []
        self._unlogged: list[float] = []
        self._lr: float | None = None
        self._grad_norm: torch.Tensor | float | None = None
        self._device = torch.device("cpu")
        self._further_figures: Callable[[], dict[str, Any]] = dict
        if rank() == 0:
            self._cut_history()

    @property
    def seconds(self) -> float:
        """Time spent on the training, those before a resume included."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def final_loss(self) -> float | None:
        """Mean of the last losses."""
        return sum(self._recent) / len(self._recent) if self._recent else None

    def steps(self, total: int, batch_size: int, save: Callable[[Path], None]) -> Iterator[int]:
        """Step numbers from the resumed one on; logs and saves between them, and saves at the end.

        `save` writes this rank's part of the state into a folder. Raises ConfigError when the loss
        is not a number; the state saved last is from before that.
        """
        self._states.loaded()
        saved_step, saved = self.first_step if self.folder else None, time.monotonic()
        if self.folder:
            self.log(self._progress(self.first_step, total).line("resuming"))
        first_rank_says = FirstRankSays()
        for step in range(self.first_step, total):
            yield step  # the caller draws, steps, and calls record
            if (step + 1) % self._training.log_every == 0 or step + 1 == total:
                self._log_losses(step + 1, total, batch_size)
            if first_rank_says(time.monotonic() - saved > self._training.save_every_s):
                self._save(step + 1, save)
                first_rank_says.forget()
                if saved_step in (None, self.first_step):  # once
                    self.log(self._progress(step + 1, total).line("progress"))
                saved_step, saved = step + 1, time.monotonic()
        if saved_step is None or saved_step < total:
            self._save(total, save)

    def record(
        self,
        loss: torch.Tensor,
        lr: float | None = None,
        grad_norm: torch.Tensor | float | None = None,
    ) -> None:
        """Keep the loss of a step on its device until it is logged or saved.

        The learning rate and the gradient's norm (before clipping) are logged where given.
        """
        self._losses.append(loss.detach())
        self._device, self._lr, self._grad_norm = loss.device, lr, grad_norm

    def also_log(self, figures: Callable[[], dict[str, Any]]) -> None:
        """Add figures to history.jsonl; they are asked for on all ranks when losses are logged."""
        self._further_figures = figures

    def add_history(self, step: int, **figures: Any) -> None:
        """Add a line to history.jsonl (rank 0 writes)."""
        if rank() == 0:
            append_line(self.out / "history.jsonl", json_text({"step": step, **figures}))

    def last_state(self) -> Path:
        """A folder of this machine with the last state, the parts of all ranks."""
        return self._states.whole()

    def finish(self) -> None:
        """Bring what was written to `out` where training.out says; after the last file."""
        self._states.finish()

    def log(self, line: str) -> None:
        """Write a line for whoever watches, from rank 0."""
        if rank() == 0:
            self._write_line(line)

    def _progress(self, step: int, total: int) -> Progress:
        return Progress(step, total, f"steps of {self.out} are saved")

    def _log_losses(self, step: int, total: int, batch_size: int) -> None:
        self._take_losses(step)
        seconds_a_step = (time.monotonic() - self._started) / (step - self.first_step)
        rate = batch_size / seconds_a_step
        mean = sum(self._unlogged) / len(self._unlogged)
        self._unlogged.clear()
        figures: dict[str, Any] = {"loss": mean, "images_per_s": round(rate, 1)}
        parts = [f"step {step}/{total} loss {self.final_loss:.4f}"]
        if self._lr is not None:
            figures["lr"] = self._lr
            parts.append(f"lr {self._lr:.2e}")
        if self._grad_norm is not None:
            figures["grad_norm"] = float(self._grad_norm)
            parts.append(f"gradient {figures['grad_norm']:.3g}")
        if self._device.type == "cuda":
            figures["peak_gib"] = round(torch.cuda.max_memory_allocated(self._device) / 2**30, 2)
            parts.append(f"peak {figures['peak_gib']} GiB")
        parts.append(f"{rate:.0f} images/s")
        if step < total:
            parts.append(f"{timedelta(seconds=round(seconds_a_step * (total - step)))} left")
        self.add_history(step, **figures, **self._further_figures())
        self.log(" ".join(parts))

    def _take_losses(self, step: int) -> None:
        """Bring the losses since the last time from the device, averaged over ranks."""
        if not self._losses:
            return
        new = mean_over_ranks(torch.stack(self._losses).float()).tolist()
        self._losses.clear()
        self._unlogged += new
        self._recent = (self._recent + new)[-NUM_RECENT:]
        if not math.isfinite(sum(new)):
            raise ConfigError(
                f"{self._section}.lr: the loss is not a number at step {step} or shortly before; "
                "begin again with a lower one in another training.out"
            )

    def _save(self, step: int, save: Callable[[Path], None]) -> None:
        self._take_losses(step)
        self._states.save(step, save, lambda: self._content(step))

    def _content(self, step: int) -> dict[str, Any]:
        """What progress.json of a state holds."""
        return {
            "step": step,
            "seconds": self.seconds,
            "recipe": self.recipe,
            "data": self._data,
            "losses": self._recent,
        }

    def _cut_history(self) -> None:
        """Forget what was logged after the state that is resumed."""
        file = self.out / "history.jsonl"
        if file.is_file():
            lines = file.read_text().splitlines()
            earlier = [line for line in lines if _step_of(line) <= self.first_step]
            write_atomically(file, "".join(line + "\n" for line in earlier).encode())


def section_of(recipe: Recipe) -> str:
    """The config section that a recipe is: base_training of a BaseTrainingConfig."""
    name = type(recipe).__name__.removesuffix("Config")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _open_states(
    training: TrainingConfig, store: StoreConfig, log: Log
) -> FolderStates | BucketStates:
    if "://" in training.out:
        return BucketStates(open_store(dataclasses.replace(store, url=training.out)), log)
    return FolderStates(Path(training.out))


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except ValueError:  # because a killed training may leave half a line
        return math.inf
