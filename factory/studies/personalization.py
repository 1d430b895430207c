"""The three objectives and the bare base model side by side, as in ID-Booth's tables (METHODS 3).

All that is drawn is measured: filters are off, because one that wants a likeness would measure each
row by those who have it.

Every row is a set of LoRAs and, for each set of prompts, a release of its own: all are made by the
same code as any other, stay in the store, and are found again when the same command is given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from factory.config import Config, FiltersConfig, PersonalizationConfig
from factory.errors import ConfigError, PlanError
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.similarity import Fidelity, PairMetrics, Properties, Similarity
from factory.evaluation.metrics.values import Distribution, MeanStd, NotMeasured
from factory.execution.inline import RunUnits
from factory.execution.on_device import OnDevice, in_this_process
from factory.records import Log
from factory.release import build
from factory.shards import layout, manifest
from factory.shards.reader import local_copy
from factory.store import Store, open_store
from factory.studies.utility import (
    Benchmarks,
    TrainOne,
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
"""What is changed of the recipe in each row; a LoRA of no steps is the base model itself."""
PLAIN: dict[str, tuple[str, ...]] = {"backgrounds": ("",), "expressions": ("",), "lights": ("",)}
PROMPTS: dict[str, dict[str, tuple[str, ...]]] = {"plain": PLAIN, "complex": {}}
"""What is changed of the prompts: the paper's Base prompts ask for a portrait and nothing else."""
PHOTOGRAPHS = "photographs"
"""The row of what the people's own photographs give."""


@dataclass(frozen=True)
class MeanStdCount:
    """Some cosines in three numbers."""

    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class PairFigures:
    """How well pairs of one kind are told apart (PairMetrics, without curves)."""

    auc: float
    eer: float
    fmr100: float | None
    fmr1000: float | None
    fdr: float
    genuine: MeanStdCount
    impostor: MeanStdCount


@dataclass(frozen=True)
class Row:
    """A row of the table: what a release gives, or the photographs themselves."""

    by: str
    """Which embedder measured: judge, or recognizer where there is no judge."""
    quality: MeanStd | None
    """CR-FIQA, where features.quality names a head."""
    made_vs_photographs: PairFigures | None
    """Of the photographs: among themselves."""
    release: PairFigures | None
    """Pairs within the release; of the photographs: among themselves."""
    fidelity: dict[str, dict[str, Fidelity | NotMeasured]]
    """By the set compared with ("source", or a reference set), then by network; empty for the
    photographs."""
    accuracy: MeanStd | None
    """What recognizers learn from the row, where utility.benchmarks names pairs."""


def compare(
    config: Config,
    run_units: RunUnits,
    train: TrainOne,
    log: Log = print,
    on_device: OnDevice = in_this_process,
) -> dict[str, Row]:
    """The table by row and prompts, written to <dataset>-comparison/comparison-<version>.json.

    The dataset's own releases and its latest.json stay as they are. With utility.benchmarks,
    `train` learns a recognizer from each set with each of utility.seeds.
    """
    if not config.personalization.loras:
        raise ConfigError(
            "personalization.loras: nothing given; want a name that the rows' sets begin with"
        )
    limits: dict[str, Any] = {f.name: None for f in fields(FiltersConfig) if f.type != "bool"}
    config = replace(
        config,
        filters=FiltersConfig(**limits),
        plan=replace(config.plan, max_rounds=1),
        release=replace(config.release, dataset=f"{config.release.dataset}-comparison"),
    )
    benchmarks = open_benchmarks(config, log) if config.utility.benchmarks else None
    table: dict[str, Row] = {}
    for objective, changes in ROWS.items():
        loras = f"{config.personalization.loras}-{objective}"
        recipe = replace(config.personalization, loras=loras, **changes)
        log(f"{objective}: LoRAs")
        finetune(replace(config, personalization=recipe), run_units, on_device=on_device, log=log)
        for prompts, words in PROMPTS.items():
            made = _release_config(config, recipe, objective, prompts, words)
            log(f"{objective}, {prompts} prompts: release {made.release.version}")
            build(made, run_units, on_device=on_device, log=log)
            if PHOTOGRAPHS not in table:
                accuracy = _accuracy(made, PHOTOGRAPHS, "real", benchmarks, train, log)
                table[PHOTOGRAPHS] = photographs_row(made, accuracy)
            name = f"{objective} {prompts}"
            accuracy = _accuracy(made, name, "release", benchmarks, train, log)
            table[name] = release_row(made, accuracy)
    dataset = open_store(config.store).below(config.release.dataset)
    manifest.put_json(dataset, f"comparison-{config.release.version}.json", to_json(table))
    return table


def release_row(config: Config, accuracy: MeanStd | None) -> Row:
    """What a release's metrics say of it, by the judge where there is one."""
    by, similarity, properties = _measured(config)
    by_network = {by: properties.recognizers[by].fidelity} | properties.features
    references = {name: other.fidelity for name, other in properties.reference_sets.items()}
    return Row(
        by=by,
        quality=properties.quality.release if properties.quality else None,
        made_vs_photographs=_figures(similarity.made_vs_photographs),
        release=_figures(similarity.release),
        fidelity={"source": by_network} | references,
        accuracy=accuracy,
    )


def photographs_row(config: Config, accuracy: MeanStd | None) -> Row:
    """What a release's metrics say of the photographs that it was made from."""
    by, similarity, properties = _measured(config)
    source = _figures(similarity.source)
    return Row(
        by=by,
        quality=properties.quality.source if properties.quality else None,
        made_vs_photographs=source,
        release=source,
        fidelity={},
        accuracy=accuracy,
    )


def lines(table: dict[str, Row]) -> list[str]:
    """The table as text."""
    columns = [f"{key} {side}" for side in ("real", "made") for key in ("FDR", "EER")]
    heads = [*columns, "FID", "precision", "recall", "CR-FIQA", "accuracy"]
    text = [f"{'':24}" + "".join(f"{head:>10}" for head in heads)]
    for name, row in table.items():
        cells = ["n/a" if value is None else f"{value:.3f}" for value in _cells(row)]
        text.append(f"{name:24}" + "".join(f"{cell:>10}" for cell in cells))
    return text


def _cells(row: Row) -> list[float | None]:
    cells: list[float | None] = []
    for pairs in (row.made_vs_photographs, row.release):
        cells += [pairs.fdr, pairs.eer] if pairs else [None, None]
    compared = row.fidelity.get("source", {}).get(row.by)
    if isinstance(compared, Fidelity):
        cells += [compared.fid, compared.precision, compared.recall]
    else:
        cells += [None, None, None]
    return cells + [value.mean if value else None for value in (row.quality, row.accuracy)]


def _release_config(
    config: Config,
    recipe: PersonalizationConfig,
    objective: str,
    prompts: str,
    words: dict[str, Any],
) -> Config:
    """The release of a row."""
    version = f"{config.release.version}-{objective}-{prompts}"
    return replace(
        config,
        personalization=replace(recipe, **words),
        release=replace(config.release, version=version),
    )


def _accuracy(
    config: Config,
    name: str,
    training_set: str,
    benchmarks: Benchmarks | None,
    train: TrainOne,
    log: Log,
) -> MeanStd | None:
    """What recognizers learn from a release ("release") or from the photographs ("real")."""
    if benchmarks is None:
        return None
    store = layout.release_store(config)
    release = local_copy(store, manifest.sealed_plan(store), f"{config.utility.out}/releases")
    training = training_sets(config, release)[training_set]
    folder = name.replace(" ", "-")
    learned = learn_with_seeds(config, folder, training, benchmarks, train, log)
    return average_accuracy([one.run for one in learned])


def _measured(config: Config) -> tuple[str, Similarity, Properties]:
    """Who measured a release, and the metrics of it; raises PlanError for stale ones."""
    store = layout.release_store(config)
    similarity = from_json(dict[str, Similarity], manifest.read_metrics(store, "similarity") or {})
    properties = from_json(Properties, manifest.read_metrics(store, "properties") or {})
    _refuse_stale(config, store, properties)
    by = "judge" if "judge" in similarity else "recognizer"
    return by, similarity[by], properties


def _figures(pairs: PairMetrics | NotMeasured | None) -> PairFigures | None:
    if pairs is None or isinstance(pairs, NotMeasured):
        return None
    return PairFigures(
        auc=pairs.auc,
        eer=pairs.eer,
        fmr100=pairs.fmr100,
        fmr1000=pairs.fmr1000,
        fdr=pairs.fdr,
        genuine=_in_short(pairs.genuine),
        impostor=_in_short(pairs.impostor),
    )


def _in_short(cosines: Distribution) -> MeanStdCount:
    return MeanStdCount(cosines.mean, cosines.std, cosines.count)


def _refuse_stale(config: Config, store: Store, properties: Properties) -> None:
    """Raise PlanError for a release made before features.* asked for what the table shows."""
    wanted = {source.stem for source in config.features.reference_sets}
    scored = (properties.quality is not None) == bool(config.features.quality)
    if not scored or set(properties.reference_sets) != wanted:
        raise PlanError(
            f"features: {store.url} was measured with others; measure it again by "
            f"`python -m jobs.evaluate {store.url} CONFIG`, or choose another release.version"
        )
