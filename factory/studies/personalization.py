"""The three objectives and the bare base side by side, as ID-Booth's tables have them (METHODS 3).

All that is drawn is measured: filters are off, because one that wants a likeness would measure each
row by those who have it.

Every row is a set of LoRAs and, for each set of prompts, a release of its own: all are made by the
same code as any other, kept, and found again when the same command is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from factory.config import Config, FiltersConfig
from factory.errors import ConfigError, PlanError
from factory.execution.inline import RunUnits
from factory.release import build
from factory.shards import layout, manifest
from factory.shards.reader import local_copy
from factory.store import Store, open_store
from factory.studies.utility import (
    Train,
    average_accuracy,
    learn_with_seeds,
    open_benchmarks,
    training_sets,
)
from factory.synthesis.lora_finetuning import finetune

ROWS: dict[str, dict[str, Any]] = {
    "base": {"objective": "dreambooth", "steps": 0},
    "dreambooth": {"objective": "dreambooth"},
    "portraitbooth": {"objective": "portraitbooth"},
    "idbooth": {"objective": "idbooth"},
}
"""What is changed of the recipe in each row; a LoRA of no steps is the base itself."""
PLAIN = {"backgrounds": ("",), "expressions": ("",), "lights": ("",)}
PROMPTS: dict[str, dict[str, tuple[str, ...]]] = {"plain": PLAIN, "complex": {}}
"""What is changed of the prompts: the paper's Base prompts ask for a portrait and nothing else."""
SIDES = {"with_source": "made and real", "release": "made and made"}
PHOTOGRAPHS = "photographs"
"""The row of what the people's own photographs give."""
FIGURES = ("auc", "eer", "fmr100", "fmr1000", "fdr")


def compare(
    config: Config, run_units: RunUnits, train: Train, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures by row and prompts, written to <dataset>-comparison/comparison-<version>.json; the
    dataset's own releases and its latest.json stay as they are.

    With utility.benchmarks, `train` learns a recognizer from each set with each of utility.seeds.
    """
    if not config.personalization.loras:
        raise ConfigError(
            "personalization.loras: nothing given; want a name that the rows' sets begin with"
        )
    config = replace(
        config,
        filters=FiltersConfig(**{f.name: None for f in fields(FiltersConfig)}),
        plan=replace(config.plan, max_rounds=1),
        release=replace(config.release, dataset=f"{config.release.dataset}-comparison"),
    )
    benchmarks = open_benchmarks(config, say) if config.utility.benchmarks else None

    def accuracy(name: str, asked: Config, which: str) -> dict[str, float] | None:
        """What recognizers learn from a release ("release") or from the photographs ("real")."""
        if benchmarks is None:
            return None
        store = _store_of(asked)
        release = local_copy(store, manifest.sealed_plan(store), f"{config.utility.out}/releases")
        one = training_sets(asked, release)[which]
        runs = learn_with_seeds(config, name.replace(" ", "-"), one, benchmarks, train, say)
        return average_accuracy(runs)

    table: dict[str, Any] = {}
    for row, changes in ROWS.items():
        learning = replace(
            config.personalization, loras=f"{config.personalization.loras}-{row}", **changes
        )
        say(f"{row}: LoRAs")
        finetune(replace(config, personalization=learning), run_units, log=say)
        for prompts, words in PROMPTS.items():
            version = f"{config.release.version}-{row}-{prompts}"
            asked = replace(
                config,
                personalization=replace(learning, **words),  # type: ignore[arg-type]
                release=replace(config.release, version=version),
            )
            say(f"{row}, {prompts} prompts: release {version}")
            build(asked, run_units, log=say)
            if PHOTOGRAPHS not in table:
                table[PHOTOGRAPHS] = figures(asked, "source")
                table[PHOTOGRAPHS]["accuracy"] = accuracy(PHOTOGRAPHS, asked, "real")
            name = f"{row} {prompts}"
            table[name] = figures(asked, "release")
            table[name]["accuracy"] = accuracy(name, asked, "release")
    dataset = open_store(config.store).below(config.release.dataset)
    name = f"comparison-{config.release.version}"
    manifest.put_json(dataset, f"{name}.json", table)
    return table


def figures(config: Config, which: str) -> dict[str, Any]:
    """What a release's metrics say of it ("release") or of the photographs ("source"), by the judge
    where there is one."""
    store = _store_of(config)
    _refuse_stale(config, store)
    similarity = manifest.read_metrics(store, "similarity") or {}
    properties = manifest.read_metrics(store, "properties") or {}
    by = "judge" if "judge" in similarity else "recognizer"
    found: dict[str, Any] = {"by": by, "quality": properties["quality"].get(which)}
    for side in SIDES:
        pairs = similarity[by].get(side if which == "release" else which, {})
        found[side] = {key: pairs[key] for key in FIGURES if key in pairs}
        for kind in ("genuine", "impostor"):
            if kind in pairs:
                found[side][kind] = [pairs[kind][key] for key in ("mean", "std", "count")]
    if which == "release":  # by the features of the network that judges, and of any others given
        sets = {by: properties[by]["fidelity"]} | properties["features"]
        found["sets"] = {"source": sets} | properties["beside"]
    return found


def lines(table: dict[str, Any]) -> list[str]:
    """The table as text."""
    columns = [f"{key} {side}" for side in ("real", "made") for key in ("FDR", "EER")]
    heads = [*columns, "FID", "precision", "recall", "CR-FIQA", "accuracy"]
    text = [f"{'':24}" + "".join(f"{head:>10}" for head in heads)]
    for name, row in table.items():
        values = [row[side].get(key) for side in SIDES for key in ("fdr", "eer")]
        sets = row.get("sets", {}).get("source", {}).get(row["by"], {})
        values += [sets.get(key) for key in ("fid", "precision", "recall")]
        values += [(row[key] or {}).get("mean") for key in ("quality", "accuracy")]
        cells = ["n/a" if value is None else f"{value:.3f}" for value in values]
        text.append(f"{name:24}" + "".join(f"{cell:>10}" for cell in cells))
    return text


def _refuse_stale(config: Config, store: Store) -> None:
    """Raise PlanError for a release made before features.* asked for what the table shows."""
    properties = manifest.read_metrics(store, "properties") or {}
    wanted = {asked.stem for asked in config.features.reference_sets}
    scored = bool(properties.get("quality")) == bool(config.features.quality)
    if not scored or set(properties.get("beside", {})) != wanted:
        raise PlanError(
            f"features: {store.url} was measured with others; measure it again by "
            f"`python -m jobs.evaluate {store.url} CONFIG`, or choose another release.version"
        )


def _store_of(config: Config) -> Store:
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    return open_store(config.store).below(prefix)
