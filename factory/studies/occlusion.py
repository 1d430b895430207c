"""Recognizers trained with occluded copies of photographs, tested on occluded faces (METHODS 4).

The rows are those of Mask-ControlNet's table: photographs alone, and with classic, painted and
redrawn copies of them. Every set is a release of its own, made by the same code as any other, and
found again when the same command is given. All recognizers see as many images, so that a row with
more copies is not one that learned for longer.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from factory.config import Config, MixedSource, SourceConfig
from factory.config.editing import KINDS
from factory.editing.occluders import NUM_PAINTS, draw_over
from factory.editing.regions import NUM_DRAWS, regions
from factory.editing.training_examples import detector_of
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.json_form import to_json
from factory.execution.inline import RunUnits
from factory.execution.on_device import OnDevice, in_this_process
from factory.recognition.embed import Recognizer
from factory.recognition.verification import equal_error_rate, tar_at_far
from factory.records import Log
from factory.release import build
from factory.shards import layout, manifest
from factory.shards.reader import local_copy
from factory.sources import FaceSet, training_faces
from factory.sources.alignment import points_of
from factory.store import open_store
from factory.store.local import write_atomically
from factory.studies.utility import TrainOne, mean_and_std, with_seed
from factory.training.distributed import pick_device

ORIGINAL = "original"
PAPER = {
    "classic": {1: 0.404, 2: 0.519, 4: 0.511},
    "redrawn": {1: 0.592, 2: 0.622, 4: 0.656},
}
"""Closed-set accuracy of the paper's ResNet50 on its own real people, by images made of each."""
FRACTIONS = (0.2, 0.4)
"""How much of a probe's face is hidden."""
MIN_LEARNED = 2
"""Images of a person that must be left to learn from."""


@dataclass(frozen=True)
class Probes:
    """Images that no recognizer has seen: of people that all have learned, and of strangers.

    They come clean, and occluded by kinds that editing.kinds holds ("learned") and by others
    ("new"), by look: "clean", "learned 20%" and so on.
    """

    familiar: dict[str, np.ndarray]
    labels: np.ndarray
    names: list[str]
    strangers: dict[str, np.ndarray]
    stranger_labels: np.ndarray


@dataclass(frozen=True)
class Row:
    """Figures of one training set over seeds, by name ("closed clean", see `measure`)."""

    mean: dict[str, float]
    std: dict[str, float]
    seeds: int


def compare(
    config: Config,
    run_units: RunUnits,
    train: TrainOne,
    log: Log = print,
    on_device: OnDevice = in_this_process,
) -> dict[str, Row]:
    """The table by training set, written to <dataset>-comparison/edits-<version>.json.

    The dataset's own releases and its latest.json stay as they are.
    """
    check(config)
    faces, strangers = training_faces(config.source)
    learned, probes = split(config, faces, strangers)
    config = replace(
        config,
        source=replace(
            config.source,
            kind="folder",
            path=str(learned),
            heldout=None,
            holdout_identities=0,
            holdout_fraction=0.0,
        ),
        release=replace(config.release, dataset=f"{config.release.dataset}-comparison"),
    )
    table = {ORIGINAL: _learn(config, ORIGINAL, config, probes, train, log)}
    for method in dict.fromkeys(["classic", "drawn", str(config.editing.method)]):
        for ratio in config.comparison.edits_per_image:
            edited = _release_config(config, method, ratio)
            name = f"{method} 1:{ratio}"
            log(f"{name}: release {edited.release.version}")
            build(edited, run_units, on_device=on_device, log=log)
            mixed = mixed_training(config, edited)
            table[name] = _learn(config, name, mixed, probes, train, log)
    dataset = open_store(config.store).below(config.release.dataset)
    manifest.put_json(dataset, f"edits-{config.release.version}.json", to_json(table))
    return table


def check(config: Config) -> None:
    """Raise ConfigError or SourceError for what cannot be compared."""
    if config.editing.method in ("classic", "drawn"):
        raise ConfigError(
            f"editing.method: got {config.editing.method}; want uvit or controlnet, to be compared "
            "with classic and drawn"
        )
    ratios = config.comparison.edits_per_image
    if not ratios or min(ratios) < 1 or len(set(ratios)) < len(ratios):
        raise ConfigError(
            f"comparison.edits_per_image: got {list(ratios)}; want different ones, at least 1"
        )


def split(config: Config, faces: FaceSet, strangers: FaceSet) -> tuple[Path, Probes]:
    """Tar of the faces to learn from, and probes.

    The probes are the last comparison.num_probes images of everybody who has enough; raises
    SourceError when nobody has.
    """
    num_probes = config.comparison.num_probes
    own = [np.flatnonzero(faces.labels == label) for label in range(len(faces.names))]
    own = [indices for indices in own if len(indices) >= num_probes + MIN_LEARNED]
    if len(own) < 2 or len(strangers) < 2:
        raise SourceError(
            f"source: {len(own)} people have {num_probes + MIN_LEARNED} images, and "
            f"{len(strangers)} images are held out; want at least two such people, and "
            "source.heldout or source.holdout_identities"
        )
    inputs = [faces.names, faces.labels.tolist(), faces.pixels_sha256(), num_probes]
    digest = hashlib.sha256(json.dumps(inputs, allow_nan=False).encode()).hexdigest()
    file = Path(config.utility.out) / f"learned-{digest[:16]}.tar"
    if not file.exists():
        learned = np.concatenate([indices[:-num_probes] for indices in own])
        write_atomically(file, _tar(faces, learned))
    probed = np.concatenate([indices[-num_probes:] for indices in own])
    labels = np.repeat(np.arange(len(own)), num_probes)
    familiar = _looks(config, faces.images_NHWC[probed], "known")
    others = _looks(config, strangers.images_NHWC, "strangers")
    names = [faces.names[int(faces.labels[indices[0]])] for indices in own]
    return file, Probes(familiar, labels, names, others, strangers.labels)


def measure(recognizer: Recognizer, probes: Probes) -> dict[str, float]:
    """Closed-set accuracy, EER and TAR by look, named "closed clean", "eer clean", "tar clean".

    Closed-set accuracy is by the nearest class weight; EER and TAR at FAR 1e-2 are of people who
    were never learned, their clean images against those of that look.
    """
    figures: dict[str, float] = {}
    order = {name: row for row, name in enumerate(recognizer.real_names)}
    weights = recognizer.unit_real[[order[name] for name in probes.names]]
    clean_SD = recognizer.embed_with_mirror(probes.strangers["clean"])
    same = probes.stranger_labels[:, None] == probes.stranger_labels
    for look, images in probes.familiar.items():
        nearest = (recognizer.embed_with_mirror(images) @ weights.T).argmax(1)
        figures[f"closed {look}"] = float((nearest == probes.labels).mean())
        look_SD = recognizer.embed_with_mirror(probes.strangers[look])
        cosines, pairs = clean_SD @ look_SD.T, ~np.eye(len(same), dtype=bool)
        genuine, impostor = cosines[same & pairs], cosines[~same]
        figures[f"eer {look}"] = equal_error_rate(genuine, impostor)
        figures[f"tar {look}"] = tar_at_far(genuine, impostor, 1e-2)
    return figures


def lines(table: dict[str, Row]) -> list[str]:
    """Means of closed-set accuracy, then of EER, by look, and the paper's accuracies.

    Deviations and TAR are in the JSON.
    """
    looks = [name.removeprefix("closed ") for name in table[ORIGINAL].mean if "closed" in name]
    heads = [f"{kind} {look}" for kind in ("closed", "eer") for look in looks]
    text = [f"{'':16}" + "".join(f"{head:>20}" for head in heads) + f"{'paper':>8}"]
    for name, row in table.items():
        cells = [f"{row.mean[head]:.3f}" for head in heads]
        published = _of_the_paper(name)
        paper = f"{published:>8.3f}" if published is not None else f"{'':>8}"
        text.append(f"{name:16}" + "".join(f"{cell:>20}" for cell in cells) + paper)
    return text


def _looks(config: Config, images: np.ndarray, people: str) -> dict[str, np.ndarray]:
    """Images clean, and occluded by kinds that are learned and by others, at each fraction."""
    hiding = [kind for kind in KINDS if kind != "background"]
    groups = {
        "learned": [kind for kind in hiding if kind in config.editing.kinds],
        "new": [kind for kind in hiding if kind not in config.editing.kinds],
    }
    points = points_of(images, detector_of(config.editing.points, config.source))
    rng = np.random.default_rng([len(images), ord(people[0])])
    looks = {"clean": images}
    for group, kinds in groups.items():
        for fraction in FRACTIONS if kinds else ():
            chosen = [kinds[index] for index in rng.integers(len(kinds), size=len(images))]
            draws = rng.random((len(images), NUM_DRAWS))
            hidden = regions(points, chosen, [fraction] * len(images), draws, images.shape[1])
            paints = rng.random((len(images), NUM_PAINTS))
            looks[f"{group} {fraction:.0%}"] = draw_over(images, hidden, chosen, paints)
    return looks


def _tar(faces: FaceSet, chosen: np.ndarray) -> bytes:
    """Some faces as PNGs in a tar, a folder a person."""
    from PIL import Image

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for index in chosen:
            png = io.BytesIO()
            Image.fromarray(faces.images_NHWC[index]).save(png, "PNG")
            member = tarfile.TarInfo(f"{faces.names[faces.labels[index]]}/{index:07d}.png")
            member.size = png.tell()
            tar.addfile(member, io.BytesIO(png.getvalue()))
    return buffer.getvalue()


def _release_config(config: Config, method: str, ratio: int) -> Config:
    """The release of a row; filters that only a redrawn region needs are off for "classic"."""
    filters = config.filters
    if method == "classic":
        filters = replace(filters, min_visible_cosine=None)
    version = f"{config.release.version}-{method}-{ratio}"
    return replace(
        config,
        editing=replace(config.editing, method=method, edits_per_image=ratio),  # type: ignore[arg-type]
        filters=filters,
        release=replace(config.release, version=version, method="edit"),
    )


def mixed_training(config: Config, edited: Config) -> Config:
    """Training on the originals and the kept faces of a release, for as many images as alone.

    The whole schedule is as much shorter in epochs as an epoch is longer.
    """
    store = layout.release_store(edited)
    plan = manifest.sealed_plan(store)
    release = local_copy(store, plan, f"{config.utility.out}/releases")
    source = SourceConfig(kind="webdataset", path=str(release), image_px=config.source.image_px)
    copies = MixedSource(source=source, domain="edited", same_people=True)
    num_kept = manifest.collect(store, plan).counts.kept
    originals = plan.request.source.num_images
    alone, fraction = config.recognizer, originals / (originals + num_kept)
    recipe = replace(
        alone,
        epochs=alone.epochs * fraction,
        warmup_epochs=alone.warmup_epochs * fraction,
        milestones=tuple(epoch * fraction for epoch in alone.milestones),
    )
    return replace(config, batches=replace(config.batches, mix=[copies]), recognizer=recipe)


def _learn(
    config: Config,
    name: str,
    training: Config,
    probes: Probes,
    train: TrainOne,
    log: Log,
) -> Row:
    """Mean and deviation over utility.seeds of what recognizers of a set can do."""
    runs = []
    for seed in config.utility.seeds:
        folder = f"{config.utility.out}/{name.replace(' ', '-').replace(':', '-')}"
        one = with_seed(training, folder, seed)
        log(f"{name}, seed {seed}: training in {one.training.out}")
        train(one)
        recognizer = Recognizer.load(one.training.out, pick_device(one.compute))
        runs.append(measure(recognizer, probes))
    by_column = {column: mean_and_std([run[column] for run in runs]) for column in runs[0]}
    return Row(
        mean={column: value.mean for column, value in by_column.items()},
        std={column: value.std for column, value in by_column.items()},
        seeds=len(runs),
    )


def _of_the_paper(name: str) -> float | None:
    method, _, ratio = name.partition(" 1:")
    row = {"classic": "classic", "drawn": None}.get(method, "redrawn")
    return PAPER[row].get(int(ratio)) if row and ratio else None
