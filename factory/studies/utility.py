"""What a release teaches: recognizers trained on it, on its source, and on both (METHODS 7, 9).

One recipe is used with several seeds, and all are verified on the same benchmarks. The gap to real
people's images is given in both conventions of the field, always against the baseline of the same
run: points (real - made) and percent ((real - made)/made).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import Config, MixedSource, SourceConfig, as_dict
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.utility import (
    BenchmarkAccuracy,
    GapToReal,
    TrainingSetAccuracy,
    Utility,
    UtilityRun,
)
from factory.evaluation.metrics.values import Interval, MeanStd, NotMeasured
from factory.recognition.batches import oversample_sha256
from factory.recognition.embed import Recognizer
from factory.recognition.pairs import Pairs, open_pairs
from factory.recognition.verification import Verified, too_few_for_folds, verified_pairs
from factory.records import Log
from factory.seeds import stream_seed
from factory.sources import open_source
from factory.sources.alignment_facts import pixel_facts
from factory.sources.index_building import source_people
from factory.sources.tar_set import open_tars
from factory.studies.spread import Spread, spread
from factory.training.distributed import pick_device
from factory.training.identity import without_paths

TrainOne = Callable[[Config], dict[str, Any]]
"""Trains the recognizer of a config, here or on a gang, and returns its metrics."""
Benchmarks = dict[str, Pairs | NotMeasured]
"""Pairs by name, or why they cannot be read."""
Accuracies = dict[str, np.ndarray]
"""Accuracies by benchmark in every resampling of its people [R]."""
TAR = "tar_at_far_"
"""How the names of true accept rates begin among the figures of verify_pairs."""


@dataclass(frozen=True)
class Learned:
    """A training, and its accuracy on each benchmark in every resampling of its people [R]."""

    run: UtilityRun
    accuracies: Accuracies


def utility(config: Config, release: Path, train: TrainOne, log: Log) -> Utility:
    """Every training, means over seeds, and gaps to real.

    `release` is a sealed release on this machine. Raises ConfigError without any benchmark; one
    that cannot be read is n/a with the reason, and nothing else stops.
    """
    benchmarks = open_benchmarks(config, log)
    learned = {
        name: learn_with_seeds(config, name, training, benchmarks, train, log)
        for name, training in training_sets(config, release).items()
    }
    runs = {name: [one.run for one in some] for name, some in learned.items()}
    resampled = {name: [one.accuracies for one in some] for name, some in learned.items()}
    return summary(as_dict(config.recognizer), runs, resampled)


def open_benchmarks(config: Config, log: Log) -> Benchmarks:
    """utility.benchmarks by name; raises ConfigError where there are none that can be read."""
    if not config.utility.benchmarks:
        raise ConfigError("utility.benchmarks: got none; want pairs to verify the recognizers on")
    benchmarks = {source.name: _open(source, log) for source in config.utility.benchmarks}
    if all(isinstance(pairs, NotMeasured) for pairs in benchmarks.values()):
        raise ConfigError("utility.benchmarks: none can be read (see above); nothing is trained")
    return benchmarks


def learn_with_seeds(
    config: Config,
    name: str,
    training: Config,
    benchmarks: Benchmarks,
    train: TrainOne,
    log: Log,
) -> list[Learned]:
    """The set called `name`, which `training` reads, learned once with each of utility.seeds."""
    learned: list[Learned] = []
    for seed in config.utility.seeds:
        one = with_seed(training, f"{config.utility.out}/{name}", seed)
        log(f"{name}, seed {seed}: training in {one.training.out}")
        learned.append(learn(one, benchmarks, train))
        log(f"{name}, seed {seed}: {_line(learned[-1].run)}")
    return learned


def training_sets(config: Config, release: Path) -> dict[str, Config]:
    """Configs that train on the source alone, on the release alone, and on both.

    Where the release has people of a source, their made images join the classes of that name,
    unless utility.same_people says otherwise.
    """
    px = config.source.image_px
    made = SourceConfig(kind="webdataset", path=str(release), image_px=px)
    source = replace(config.source, pairs=None)
    plain = replace(config, source=source, training=replace(config.training, eval_every=None))
    added = MixedSource(
        source=made,
        domain="made",
        weight=config.utility.release_weight,
        same_people=config.utility.same_people and bool(source_people(open_tars(made))),
    )
    return {
        "real": plain,
        "release": replace(plain, source=made, batches=replace(config.batches, mix=[])),
        "both": replace(plain, batches=replace(config.batches, mix=[*config.batches.mix, added])),
    }


def with_seed(config: Config, folder: str, seed: int) -> Config:
    """The training with a seed, in a folder of its own.

    Another recipe is another folder, and so are other contents of a file at the same path.
    """
    recipe = [as_dict(without_paths(config.recognizer)), config.training.max_steps]
    if config.training.min_steps:
        recipe.append(config.training.min_steps)
    decides = [*_learned_from(config), *recipe]
    digest = hashlib.sha256(
        json.dumps(decides, sort_keys=True, allow_nan=False).encode()
    ).hexdigest()
    out = f"{folder}-{digest[:10]}/seed-{seed}"
    return replace(config, training=replace(config.training, out=out, seed=seed))


def _learned_from(config: Config) -> list[dict[str, Any]]:
    """What the faces of a training are, by contents: those of its source, and of its batches."""
    batches = as_dict(without_paths(config.batches))
    if config.batches.oversample:
        batches["oversample"] = oversample_sha256(config.batches.oversample)
    batches["mix"] = [
        as_dict(mixed) | {"source": _faces(mixed.source)} for mixed in config.batches.mix
    ]
    return [_faces(config.source), batches]


def _faces(source: SourceConfig) -> dict[str, Any]:
    opened = open_source(source)
    facts = pixel_facts(source, opened.fingerprint)
    held_out = source.num_heldout(len(opened.names)) if source.heldout is None else 0
    return facts | {"holdout_identities": held_out}


def learn(config: Config, benchmarks: Benchmarks, train: TrainOne) -> Learned:
    """Train one recognizer, or go on, and verify it.

    The people of a benchmark are resampled alike for all recognizers, those of another apart.
    """
    trained = train(config)["train"]
    recognizer = Recognizer.load(config.training.out, pick_device(config.compute))
    verified = {
        name: pairs
        if isinstance(pairs, NotMeasured)
        else verified_pairs(recognizer, pairs, stream_seed("benchmark", name))
        for name, pairs in benchmarks.items()
    }
    found = {name: one for name, one in verified.items() if isinstance(one, Verified)}
    run = UtilityRun(
        seed=config.training.seed,
        images=trained["images"],
        identities=trained["identities"],
        benchmarks={
            name: one if isinstance(one, NotMeasured) else one.figures
            for name, one in verified.items()
        },
    )
    return Learned(run, {name: one.resampled["accuracy"] for name, one in found.items()})


def summary(
    recipe: dict[str, Any],
    runs: dict[str, list[UtilityRun]],
    resampled: dict[str, list[Accuracies]] | None = None,
) -> Utility:
    """Means and standard deviations over seeds, and how far each set is from the real one.

    `resampled` holds accuracies in resamplings of people, by set, run and benchmark; without it
    intervals are over seeds alone.
    """
    found = resampled or {}
    people = {name: Resamplings.of(trained, found.get(name)) for name, trained in runs.items()}
    sets = {
        name: TrainingSetAccuracy(
            images=trained[0].images,
            identities=trained[0].identities,
            benchmarks={
                benchmark: _over_seeds(trained, benchmark, people[name])
                for benchmark in _read(trained)
            },
            average=average_accuracy(trained),
            interval=_spread_of(trained, people[name], _read(trained)).interval
            if _read(trained)
            else None,
        )
        for name, trained in runs.items()
    }
    gaps = {
        name: _gap(runs, people, name)
        for name, learned in sets.items()
        if sets["real"].average and learned.average and name != "real"
    }
    return Utility(recipe, runs, sets, gaps)


@dataclass(frozen=True)
class Resamplings:
    """Mean accuracy over seeds in every resampling, by benchmark, and of how many people."""

    accuracy: dict[str, np.ndarray]
    num_people: dict[str, int]

    @classmethod
    def of(cls, trained: list[UtilityRun], found: Sequence[Accuracies] | None) -> Resamplings:
        """Of the runs of a set; empty where nothing was resampled."""
        accuracy, num_people = dict[str, np.ndarray](), dict[str, int]()
        for name in _read(trained) if found else []:
            figures = trained[0].benchmarks[name]
            assert found
            assert isinstance(figures, dict)
            accuracy[name] = np.mean([run[name] for run in found], axis=0)
            num_people[name] = figures[f"num_{figures['resampled']}"]
        return cls(accuracy, num_people)

    def average(self, benchmarks: list[str]) -> tuple[np.ndarray | None, int]:
        """Average over benchmarks [R], and people of the smallest; None unless all are known."""
        if not benchmarks or not set(benchmarks) <= set(self.accuracy):
            return None, 0
        mean_R = np.mean([self.accuracy[name] for name in benchmarks], axis=0)
        return np.asarray(mean_R), min(self.num_people[name] for name in benchmarks)


def _spread_of(trained: list[UtilityRun], people: Resamplings, benchmarks: list[str]) -> Spread:
    """The accuracy averaged over some benchmarks, with its interval over seeds and people."""
    by_seed = np.mean([_values(trained, name, "accuracy") for name in benchmarks], axis=0)
    found = spread(by_seed.tolist(), *people.average(benchmarks))
    if found.interval is None:
        return found
    within = Interval(max(found.interval.low, 0.0), min(found.interval.high, 1.0))
    return replace(found, interval=within)


def _gap(runs: dict[str, list[UtilityRun]], people: dict[str, Resamplings], name: str) -> GapToReal:
    """How far a set is from the real one, at equal seeds and in the same resamplings."""
    benchmarks = _read(runs["real"])
    by_seed = [
        np.mean([_values(runs[side], benchmark, "accuracy") for benchmark in benchmarks], axis=0)
        for side in ("real", name)
    ]
    real_R, num_people = people["real"].average(benchmarks)
    made_R, _ = people[name].average(benchmarks)
    by_people = None if real_R is None or made_R is None else 100 * (real_R - made_R)
    found = spread((100 * (by_seed[0] - by_seed[1])).tolist(), by_people, num_people)
    gap = gap_to_real(float(by_seed[0].mean()), float(by_seed[1].mean()))
    return replace(gap, interval=found.interval, detectable=found.detectable)


def average_accuracy(trained: list[UtilityRun]) -> MeanStd | None:
    """Mean and deviation over seeds of the accuracy averaged over benchmarks; None without any."""
    benchmarks = _read(trained)
    if not benchmarks:
        return None
    by_benchmark = [_values(trained, benchmark, "accuracy") for benchmark in benchmarks]
    return mean_and_std(np.mean(by_benchmark, axis=0).tolist())


def gap_to_real(real: float, made: float) -> GapToReal:
    """Accuracies as fractions -> the gap in points of a percent, and in percent of the made one."""
    return GapToReal(points=100 * (real - made), percent=100 * (real - made) / made)


def mean_and_std(values: list[float]) -> MeanStd:
    """Mean and standard deviation (of a sample; 0 for one value)."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return MeanStd(float(np.mean(values)), deviation)


def _over_seeds(
    trained: list[UtilityRun], benchmark: str, people: Resamplings
) -> BenchmarkAccuracy:
    first = trained[0].benchmarks[benchmark]
    keys = first if isinstance(first, dict) else {}
    fars = [key.removeprefix(TAR) for key in keys if re.fullmatch(TAR + r"1e-\d", key)]
    return BenchmarkAccuracy(
        accuracy=mean_and_std(_values(trained, benchmark, "accuracy")),
        tar_at_far={far: mean_and_std(_values(trained, benchmark, TAR + far)) for far in fars},
        interval=_spread_of(trained, people, [benchmark]).interval,
    )


def _read(trained: list[UtilityRun]) -> list[str]:
    """The benchmarks that could be read."""
    figures = trained[0].benchmarks.items()
    return [name for name, figure in figures if not isinstance(figure, NotMeasured)]


def _values(trained: list[UtilityRun], benchmark: str, key: str) -> list[float]:
    """A figure of verify_pairs, run by run."""
    by_run = (run.benchmarks[benchmark] for run in trained)
    return [figures[key] for figures in by_run if not isinstance(figures, NotMeasured)]


def _open(source: SourceConfig, log: Log) -> Pairs | NotMeasured:
    try:
        pairs = open_pairs(source)
    except SourceError as error:
        log(f"benchmark {source.name}: {error}")
        return NotMeasured("n/a: could not be read")  # without the path, because it is published
    reason = too_few_for_folds(pairs)
    return NotMeasured(reason) if reason else pairs


def _line(run: UtilityRun) -> str:
    parts = [
        f"{name} {figures.note}"
        if isinstance(figures, NotMeasured)
        else f"{name} {figures['accuracy']:.4f}"
        for name, figures in run.benchmarks.items()
    ]
    return f"{run.images} images of {run.identities} people; " + ", ".join(parts)
