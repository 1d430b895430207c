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
from factory.errors import ConfigError
from factory.release import build
from factory.shards import layout, manifest
from factory.store import open_store
from factory.synthesis.finetuning import finetune
from factory.synthesis.inline import RunUnits

ROWS: dict[str, dict[str, Any]] = {
    "base": {"objective": "dreambooth", "steps": 0},
    "dreambooth": {"objective": "dreambooth"},
    "portraitbooth": {"objective": "portraitbooth"},
    "idbooth": {"objective": "idbooth"},
}
"""What is changed of the booth in each row; a LoRA of no steps is the base itself."""
PLAIN = {"backgrounds": ("",), "expressions": ("",), "lights": ("",)}
PROMPTS: dict[str, dict[str, tuple[str, ...]]] = {"plain": PLAIN, "complex": {}}
"""What is changed of the prompts: the paper's Base prompts ask for a portrait and nothing else."""
SIDES = {"with_source": "made and real", "release": "made and made"}
FIGURES = ("eer", "fmr100", "fmr1000", "fdr")
SETS = ("fid", "cmmd", "precision", "recall")


def compare(
    config: Config, run_units: RunUnits, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures by row and prompts, written to <dataset>-comparison/comparison-<version>.json; the
    dataset's own releases and its latest.json stay as they are."""
    if not config.booth.loras:
        raise ConfigError("booth.loras: nothing given; want a name that the rows' sets begin with")
    config = replace(
        config,
        filters=FiltersConfig(**{f.name: None for f in fields(FiltersConfig)}),
        plan=replace(config.plan, max_rounds=1),
        release=replace(config.release, dataset=f"{config.release.dataset}-comparison"),
    )
    table: dict[str, Any] = {}
    for row, changes in ROWS.items():
        learning = replace(config.booth, loras=f"{config.booth.loras}-{row}", **changes)
        say(f"{row}: LoRAs")
        finetune(replace(config, booth=learning), run_units, say=say)
        for prompts, words in PROMPTS.items():
            version = f"{config.release.version}-{row}-{prompts}"
            asked = replace(
                config,
                booth=replace(learning, **words),  # type: ignore[arg-type]
                release=replace(config.release, version=version),
            )
            say(f"{row}, {prompts} prompts: release {version}")
            build(asked, run_units, say=say)
            table[f"{row} {prompts}"] = figures(asked)
    dataset = open_store(config.store).below(config.release.dataset)
    name = f"comparison-{config.release.version}"
    manifest.put_json(dataset, f"{name}.json", table)
    return table


def figures(config: Config) -> dict[str, Any]:
    """What a release's metrics say, by the judge where there is one."""
    prefix = layout.prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    similarity = manifest.read_metrics(store, "similarity") or {}
    properties = manifest.read_metrics(store, "properties") or {}
    by = "judge" if "judge" in similarity else "recognizer"
    found: dict[str, Any] = {"by": by}
    for side in SIDES:
        pairs = similarity[by].get(side, {})
        found[side] = {key: pairs[key] for key in FIGURES if key in pairs}
        for kind in ("genuine", "impostor"):
            if kind in pairs:
                found[side][kind] = [pairs[kind]["mean"], pairs[kind]["std"]]
    fidelity = properties[by]["fidelity"]  # by this network's features, not Inception's
    num_images = similarity[by].get("with_source", {}).get("genuine", {}).get("count")
    found["num_pairs_with_source"] = num_images
    return found | {key: fidelity[key] for key in SETS if key in fidelity}


def lines(table: dict[str, Any]) -> list[str]:
    """The table as text."""
    columns = [f"{key} {side}" for side in ("real", "made") for key in ("FDR", "EER")]
    heads = [*columns, "FID", "precision", "recall"]
    text = [f"{'':24}" + "".join(f"{head:>10}" for head in heads)]
    for name, row in table.items():
        values = [row[side].get(key) for side in SIDES for key in ("fdr", "eer")]
        values += [row.get(key) for key in ("fid", "precision", "recall")]
        cells = ["n/a" if value is None else f"{value:.3f}" for value in values]
        text.append(f"{name:24}" + "".join(f"{cell:>10}" for cell in cells))
    return text
