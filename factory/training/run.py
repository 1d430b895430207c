"""What the trainings of diffusion models share around their loops: faces, resume, engine, files.

    run = TrainingRun(config, config.generator, log)
    run.resume(recognizer=recognizer.sha256)
    run.seed()
    model = ...
    run.start(model, adamw(recipe.lr, recipe.weight_decay), part="network", ema=recipe.ema)
    for step in run.steps():
        for part in step.parts:
            run.backward(run(x, noise, t_B))
        run.update(lr)
    run.save("generator", run.weights(), config={...}, lineage={...})

The loop itself stays in each training's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import AutoencoderConfig, Config, GeneratorConfig
from factory.provenance.faces import source_record
from factory.provenance.lineage import NetworkRecord
from factory.provenance.networks import provenance
from factory.records import Log
from factory.seeds import torch_generator
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.compilation import Compilation
from factory.training.distributed import micro_batch, rank, world_size
from factory.training.ema import EMA
from factory.training.engine import Engine, join, start_engine
from factory.training.enough import method_of, warnings_of
from factory.training.faces import describe, open_faces
from factory.training.identity import faces_facts, to_text, without_paths
from factory.training.rows import ReadAhead, Rows
from factory.training.run_state import Recipe, RunState, section_of
from factory.training.schedules import MakeOptimizer
from factory.training.shared_out import check_shared


@dataclass(frozen=True)
class Step:
    """One step of a training, on this rank."""

    index: int
    progress: float
    """Fraction of the training that lies before it."""
    parts: list[np.ndarray]
    """Rows of the faces in each micro-batch."""
    draw: torch.Generator
    """Random stream of this step and rank."""
    rng: np.random.Generator
    """The same for code that draws by numpy, with the seed of `draw`."""


class TrainingRun:
    """A training of one model on the faces of config.source, written to training.out."""

    def __init__(self, config: Config, recipe: Recipe, log: Log) -> None:
        """Open the faces; those of a large source are made into files first, by all ranks.

        Raises, before anything is read, ConfigError for a batch that the ranks cannot divide evenly
        and CheckpointError unless all ranks see training.out.
        """
        self._config, self._recipe, self._log = config, recipe, log
        key = f"{section_of(recipe)}.batch_size"
        micro_batch(recipe.batch_size, config.compute, key)
        join(config.compute)
        check_shared(config)
        self.faces, self.heldout = open_faces(config)
        self._order = BatchOrder(config.training.seed, len(self.faces), recipe.batch_size)
        micro_batch(self._order.batch_size, config.compute, key)  # few faces make it smaller
        self.total = num_steps(
            len(self.faces), self._order.batch_size, recipe.epochs, config.training
        )
        """Steps of the whole training."""
        self.state: RunState
        self._engine: Engine
        self._compilation: Compilation
        self._part = ""
        self._ema: EMA | None = None
        self._losses: list[torch.Tensor] = []
        self._read_ahead: ReadAhead | None = None
        self._also_save: list[Callable[[Path], None]] = []

    def resume(self, **learned_from: Any) -> None:
        """Find the state to go on from.

        `learned_from` are digests, by name, of all that decides the data besides the faces: of each
        network that is used and of each file that the recipe names. Raises CheckpointError, which
        names the first that differs, when training.out holds a training of something else.
        """
        faces = faces_facts(self._config.source, self.faces)
        data = to_text({"source": faces, **learned_from})
        recipe, store = without_paths(self._recipe), self._config.store
        self.state = RunState(self._config.training, recipe, data, self._log, store=store)
        for line in (describe(self.faces, self.heldout), *self._warnings()):
            self.state.log(line)

    def _warnings(self) -> list[str]:
        """Lines about faces that are too few for what is trained."""
        if not isinstance(self._recipe, AutoencoderConfig | GeneratorConfig):
            return []
        key = method_of(section_of(self._recipe), self._recipe.init_from)
        return warnings_of(key, len(self.faces.names), len(self.faces))

    def is_finished(self, kind: str) -> bool:
        """Whether all steps are made and the checkpoint of this kind is written; after `resume`."""
        if self.state.first_step < self.total:
            return False
        written = checkpoint.any_metadata(self._config.training.out)
        return bool(written and (written["kind"], written["step"]) == (kind, self.total))

    def finished_metrics(self) -> dict[str, Any]:
        """Metrics of the checkpoint that a finished training has written."""
        written = checkpoint.any_metadata(self._config.training.out)
        return dict(written["metrics"]) if written else {}

    def seed(self) -> None:
        """Seed torch's global generator, from which a new model draws its weights."""
        torch.manual_seed(self._config.training.seed)

    def start(
        self,
        model: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        *,
        part: str,
        ema: float | None = None,
        ema_sigma_rel: float | None = None,
        grad_clip: float = 1.0,
    ) -> None:
        """Put the model into an engine, resumed where there is a state.

        `part` is the attribute of the model whose weights are the result: their moving average
        with decay `ema`, or as long as `ema_sigma_rel` makes it, or without one as they are.
        """
        self._engine = start_engine(
            model,
            make_optimizer,
            self._config.compute,
            grad_clip=grad_clip,
            resume=self.state.folder,
        )
        compile_ = self._config.compute.compile
        self._compilation = Compilation(model, compile_, self._engine.device, self.state.log)
        self._part = part
        if ema is not None:
            with self._engine.weights() as module:
                self._ema = EMA(getattr(module, part), ema, ema_sigma_rel)
            if self.state.folder:
                self._ema.load(self.state.folder)

    @property
    def device(self) -> torch.device:
        return self._engine.device

    @property
    def out(self) -> Path:
        """Folder of this machine for results, training.out itself unless that is in a bucket."""
        return self.state.out

    def read_ahead(self, *arrays: np.ndarray | Rows) -> None:
        """Have a thread read the rows of the next step of these while one is computed.

        Of arrays in memory there is nothing to read.
        """
        mapped = [array for array in arrays if isinstance(array, Rows) and array.in_files]
        self._read_ahead = ReadAhead(mapped) if mapped else None

    def also_save(self, save: Callable[[Path], None]) -> None:
        """Have `save`, on every rank, write what the engine does not know into each state."""
        self._also_save.append(save)

    def steps(self) -> Iterator[Step]:
        """The steps that are left; losses are logged and states saved between them."""
        seed = self._config.training.seed
        steps = self.state.steps(self.total, self._order.batch_size, self._save_state)
        for index in self._compilation.over(steps, self.total - self.state.first_step):
            chosen = self._order.rank_batch(index, rank(), world_size())
            if self._read_ahead and index + 1 < self.total:
                self._read_ahead.begin(self._order.rank_batch(index + 1, rank(), world_size()))
            parts = np.split(chosen, self._config.compute.accumulate)
            draw = torch_generator(seed, "step", index, rank())
            rng = np.random.default_rng(draw.initial_seed())
            yield Step(index, index / self.total, parts, draw, rng)

    def __call__(self, *batch: torch.Tensor | None) -> Any:
        """The model's answer for a micro-batch, which is moved to the device; under autocast."""
        on_device = (x if x is None else x.to(self.device, non_blocking=True) for x in batch)
        return self._engine(*on_device)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a micro-batch's loss."""
        self._engine.backward(loss)
        self._losses.append(loss.detach())

    def update(self, lr: float) -> None:
        """End a step: update the weights, then their average, and record the loss."""
        grad_norm = self._engine.step(lr)
        if self._ema:
            with self._engine.weights() as module:
                self._ema.update(getattr(module, self._part))
        self.state.record(torch.stack(self._losses).mean(), lr, grad_norm)
        self._losses.clear()

    def weights(self) -> dict[str, torch.Tensor]:
        """The result in float32 on the CPU, by name; every rank calls it."""
        if self._ema:
            return self._ema.whole()
        with self._engine.weights() as module:
            tensors = getattr(module, self._part).state_dict()
            return {name: x.detach().float().cpu().clone() for name, x in tensors.items()}

    @property
    def metrics(self) -> dict[str, Any]:
        """Mean of the last losses, and hours that the training took, resumes included."""
        hours = round(self.state.seconds / 3600, 3)
        return {"final_loss": self.state.final_loss, "hours": hours}

    def save(
        self,
        kind: str,
        tensors: dict[str, torch.Tensor],
        *,
        config: dict[str, Any],
        lineage: dict[str, str],
        measured: dict[str, Any] | None = None,
        known: Sequence[NetworkRecord] = (),
    ) -> dict[str, Any]:
        """Write the checkpoint and return its metrics, `measured` included; on rank 0 alone.

        `known` are records of networks of `lineage` that are no checkpoints of ours.
        """
        if rank() != 0:
            return {}
        metrics = (measured or {}) | self.metrics
        made = checkpoint.Checkpoint(
            kind,
            tensors,
            config,
            self.total,
            metrics,
            lineage,
            "",
            self.provenance(kind, lineage, known),
        )
        checkpoint.save(self.out, made)
        self.state.finish()
        return metrics

    def provenance(
        self, kind: str, lineage: dict[str, str], known: Sequence[NetworkRecord] = ()
    ) -> list[dict[str, Any]]:
        """Records of what is trained, of the faces it learns from, and of its ancestors."""
        learned_from = [source_record(self._config.source, self.faces)]
        return provenance(self._config, kind, learned_from, lineage, known)

    def _save_state(self, folder: Path) -> None:
        self._engine.save(folder)
        if self._ema:
            self._ema.save(folder)
        for save in self._also_save:
            save(folder)
