"""What a release teaches: one recipe learns from it, from the source, and from both, with several
seeds, and all are verified on the same benchmarks (METHODS 7, 9).

The gap to real people's images is given in both conventions of the field, always against the
baseline of the same run: points (real - made) and percent ((real - made)/made).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import Config, MixedSource, SourceConfig, as_dict
from factory.errors import ConfigError, SourceError
from factory.recognition.embed import Recognizer
from factory.recognition.pairs import Pairs, open_pairs
from factory.recognition.verification import verify_pairs
from factory.training.distributed import pick_device

Train = Callable[[Config], dict[str, Any]]
"""Trains the recognizer of a config, here or on a gang, and returns its metrics."""
Benchmarks = dict[str, Pairs | str]
"""Pairs by name, or why they cannot be read."""
Run = dict[str, Any]
"""What one training gave: its seed, counts, and figures or the note n/a by benchmark."""


def utility(
    config: Config, release: Path, train: Train, say: Callable[[str], None]
) -> dict[str, Any]:
    """metrics/utility.json: every training, means over seeds, and gaps to real.

    `release` is a sealed release on this machine. Raises ConfigError without any benchmark; one
    that cannot be read is n/a with the reason, and nothing else stops.
    """
    benchmarks = open_benchmarks(config, say)
    runs = {
        name: learn_with_seeds(config, name, asked, benchmarks, train, say)
        for name, asked in training_sets(config, release).items()
    }
    return {"recipe": as_dict(config.recognizer), "runs": runs, **summary(runs)}


def open_benchmarks(config: Config, say: Callable[[str], None]) -> Benchmarks:
    """utility.benchmarks by name; raises ConfigError where there are none that can be read."""
    if not config.utility.benchmarks:
        raise ConfigError("utility.benchmarks: got none; want pairs to verify the recognizers on")
    benchmarks = {asked.name: _opened(asked, say) for asked in config.utility.benchmarks}
    if all(isinstance(found, str) for found in benchmarks.values()):
        raise ConfigError("utility.benchmarks: none can be read (see above); nothing is trained")
    return benchmarks


def learn_with_seeds(
    config: Config,
    name: str,
    asked: Config,
    benchmarks: Benchmarks,
    train: Train,
    say: Callable[[str], None],
) -> list[Run]:
    """The set called `name`, which `asked` trains on, learned once with each of utility.seeds."""
    runs: list[Run] = []
    for seed in config.utility.seeds:
        one = with_seed(asked, f"{config.utility.out}/{name}", seed)
        say(f"{name}, seed {seed}: training in {one.training.out}")
        runs.append(learn(one, benchmarks, train))
        say(f"{name}, seed {seed}: {_line(runs[-1])}")
    return runs


def training_sets(config: Config, release: Path) -> dict[str, Config]:
    """Configs that train on the source alone, on the release alone, and on both."""
    px = config.source.image_px
    made = SourceConfig(kind="webdataset", path=str(release), image_px=px)
    source = replace(config.source, pairs=None)
    plain = replace(config, source=source, training=replace(config.training, eval_every=None))
    beside = MixedSource(source=made, domain="made", weight=config.utility.release_weight)
    return {
        "real": plain,
        "release": replace(plain, source=made, batches=replace(config.batches, mix=[])),
        "both": replace(plain, batches=replace(config.batches, mix=[*config.batches.mix, beside])),
    }


def with_seed(config: Config, folder: str, seed: int) -> Config:
    """The training with a seed, in a folder of its own: another recipe, another folder."""
    what = [as_dict(config.source), as_dict(config.batches), as_dict(config.recognizer)]
    digest = hashlib.sha256(json.dumps([*what, config.training.max_steps]).encode()).hexdigest()
    out = f"{folder}-{digest[:10]}/seed-{seed}"
    return replace(config, training=replace(config.training, out=out, seed=seed))


def learn(config: Config, benchmarks: Benchmarks, train: Train) -> Run:
    """Train one recognizer, or go on, and verify it."""
    trained = train(config)["train"]
    recognizer = Recognizer.load(config.training.out, pick_device(config.compute))
    figures = {
        name: {"note": pairs} if isinstance(pairs, str) else verify_pairs(recognizer, pairs)
        for name, pairs in benchmarks.items()
    }
    counts = {"images": trained["images"], "identities": trained["identities"]}
    return {"seed": config.training.seed, **counts, "benchmarks": figures}


def summary(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Means and standard deviations over seeds, of each benchmark and of their average, and how far
    each set is from the real one."""
    sets = {}
    for name, trained in runs.items():
        seen = [
            bench
            for bench in trained[0]["benchmarks"]
            if "accuracy" in trained[0]["benchmarks"][bench]
        ]
        by_bench = {
            bench: {
                key: spread([run["benchmarks"][bench][key] for run in trained])
                for key in trained[0]["benchmarks"][bench]
                if key == "accuracy" or key.startswith("tar_at_far")
            }
            for bench in seen
        }
        sets[name] = {
            "images": trained[0]["images"],
            "identities": trained[0]["identities"],
            "benchmarks": by_bench,
            "average": average_accuracy(trained),
        }
    real = sets["real"]["average"]
    gaps = {
        name: gap_to_real(real["mean"], found["average"]["mean"])
        for name, found in sets.items()
        if real and name != "real"
    }
    return {"sets": sets, "gap_to_real": gaps}


def average_accuracy(trained: list[Run]) -> dict[str, float] | None:
    """Mean and deviation over seeds of the accuracy averaged over benchmarks; None without any."""
    seen = [b for b, found in trained[0]["benchmarks"].items() if "accuracy" in found]
    if not seen:
        return None
    return spread(
        [float(np.mean([run["benchmarks"][b]["accuracy"] for b in seen])) for run in trained]
    )


def gap_to_real(real: float, made: float) -> dict[str, float]:
    """Accuracies as shares -> the gap in points of a percent, and in percent of the made one."""
    return {"points": 100 * (real - made), "percent": 100 * (real - made) / made}


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation (of a sample; 0 for one value)."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation}


def _opened(asked: SourceConfig, say: Callable[[str], None]) -> Pairs | str:
    try:
        return open_pairs(asked)
    except SourceError as error:
        say(f"benchmark {asked.name}: {error}")
        return "n/a: could not be read"  # without the path, because it is published


def _line(run: Run) -> str:
    parts = [
        f"{name} {seen['accuracy']:.4f}" if "accuracy" in seen else f"{name} {seen['note']}"
        for name, seen in run["benchmarks"].items()
    ]
    return f"{run['images']} images of {run['identities']} people; " + ", ".join(parts)
