"""A recognizer on the sets of pairs that papers average over, with intervals (METHODS 7, 9).

Accuracy is insightface's: ten folds, thresholds from the other nine. Its interval comes from
resampling people, of whom a .bin tells only what its pairs say (recognition/pair_people.py). The
average's comes from resampling each set for itself. LFW, CALFW and CPLFW show the same people in
part, which no .bin says, so the average's interval is rather too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from factory.config import Config, as_dict
from factory.config.published import published_rows
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.benchmark import AverageAccuracy, Benchmark, SetAccuracy
from factory.evaluation.metrics.values import NotMeasured
from factory.recognition.embed import Embedder
from factory.recognition.fold_resampling import resampled_accuracies
from factory.recognition.pair_people import pair_people
from factory.recognition.pairs import open_pairs
from factory.recognition.resampling import LEAST_PEOPLE, interval
from factory.recognition.verification import fold_accuracy, too_few_for_folds
from factory.records import Log
from factory.seeds import stream_seed

TOO_FEW = NotMeasured(f"n/a: fewer than {LEAST_PEOPLE} people to resample")


@dataclass(frozen=True)
class Measured:
    """A set's accuracy, and those of its resamplings [R] where there are people enough."""

    accuracy: SetAccuracy
    resampled_R: np.ndarray | None


def benchmark(config: Config, embedder: Embedder, log: Log) -> Benchmark:
    """Measure the recognizer on benchmark.sets, one after the other.

    A set that is missing or cannot be read is n/a with the reason. Raises ConfigError where that
    is so of all of them.
    """
    check(config)
    rows = [as_dict(row) for row in published_rows(config.benchmark.published)]
    found = {name: _measure(config, name, embedder, log) for name in config.benchmark.sets}
    measured = {name: one for name, one in found.items() if isinstance(one, Measured)}
    if not measured:
        raise ConfigError("benchmark.sets: none can be read (see above); want one at least")
    return Benchmark(
        recognizer=embedder.sha256,
        mirror_sum=embedder.mirror_sum,
        seed=config.benchmark.seed,
        sets={
            name: one.accuracy if isinstance(one, Measured) else one for name, one in found.items()
        },
        average=average_of(list(measured.values()), len(found)),
        published=rows,
    )


def check(config: Config) -> dict[str, Path]:
    """Files of the sets by name.

    Raises ConfigError where none is there, and for a table of published rows that cannot be read.
    """
    published_rows(config.benchmark.published)
    files = files_of(config)
    if not files:
        raise ConfigError("benchmark.sets: got none; want pairs by name, as {LFW: lfw.bin}")
    if not any(file.is_file() for file in files.values()):
        names = ", ".join(str(file) for file in files.values())
        raise ConfigError(
            f"benchmark.sets: got {names}, of which none is there; want one at least; give "
            "benchmark.folder=... where they lie"
        )
    return files


def files_of(config: Config) -> dict[str, Path]:
    """The file of each set, by name."""
    folder = Path(config.benchmark.folder)
    return {name: folder / file for name, file in config.benchmark.sets.items()}


def average_of(measured: list[Measured], num_sets: int) -> AverageAccuracy | NotMeasured:
    """Mean accuracy over all sets; n/a where one is missing, because sets differ in difficulty."""
    if len(measured) < num_sets:
        return NotMeasured(f"n/a: {num_sets - len(measured)} of {num_sets} sets are missing")
    resampled = [one.resampled_R for one in measured if one.resampled_R is not None]
    whole = len(resampled) == num_sets
    return AverageAccuracy(
        accuracy=float(np.mean([one.accuracy.accuracy for one in measured])),
        interval=interval(np.mean(resampled, axis=0)) if whole else TOO_FEW,
    )


def _measure(config: Config, name: str, embedder: Embedder, log: Log) -> Measured | NotMeasured:
    """A set's accuracy, or why there is none; paths are told to `log` and not published."""
    file = files_of(config)[name]
    if not file.is_file():
        log(f"{name}: no such file {str(file)!r}")
        return NotMeasured("n/a: no such file")
    try:
        pairs = open_pairs(replace(config.source, pairs=str(file)))
    except SourceError as error:
        log(f"{name}: {error}")
        return NotMeasured("n/a: could not be read")
    if reason := too_few_for_folds(pairs):
        return NotMeasured(reason)
    unit_ND = embedder.embed_with_mirror(pairs.images_NHWC)
    cosines_N = (unit_ND[0::2] * unit_ND[1::2]).sum(1)
    measured = accuracy_of(
        cosines_N,
        pairs.same,
        pairs.num_folds,
        pair_people(pairs),
        stream_seed("benchmark", name, config.benchmark.seed),
    )
    log(f"{name}: {100 * measured.accuracy.accuracy:.2f} % of {len(pairs.same)} pairs")
    return measured


def accuracy_of(
    cosines_N: np.ndarray,
    same_N: np.ndarray,
    num_folds: int,
    people_NN: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> Measured:
    """Accuracy by folds with its interval; people are those of first and second images, from 0."""
    mean, std = fold_accuracy(cosines_N, same_N, num_folds)
    num_people = 1 + int(max(people.max() for people in people_NN))
    figures = SetAccuracy(len(same_N), num_people, num_folds, mean, std, TOO_FEW)
    if num_people < LEAST_PEOPLE:
        return Measured(figures, None)
    resampled_R = resampled_accuracies(cosines_N, same_N, num_folds, people_NN, seed)
    return Measured(replace(figures, interval=interval(resampled_R)), resampled_R)
