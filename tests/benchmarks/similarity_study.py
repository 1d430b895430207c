"""Does a generator trained with similarity tokens draw the given similarity (CemiFace)?

    python -m tests.benchmarks.similarity_study CONFIG [section.key=value ...] --people 200

CONFIG is a release whose generator has similarity tokens. For each m every person of the source is
drawn once, from the same noise; of a source that holds people out, those. A generator that was
asked in training (generator.similarity_label) is shown an image of each and m from -.2 to 1, and
what it draws is compared with that image; one with measured labels is shown the center of all
images of each and the m of its training, and is compared with that center. Prints JSON: the mean
cosine by m, Spearman's correlation of m and cosine over all images and as the mean over people, by
the conditioning recognizer and by the judge.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config, load
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.similarity import TrainingSimilarities
from factory.identities.roster_building import open_recognizer
from factory.recognition.embed import Embedder, with_mirror
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of
from factory.sources import open_source
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device
from tests.benchmarks.drawing import draw_each

NUM_VALUES = 13
ASKED = tuple(round(-0.2 + 0.1 * i, 1) for i in range(NUM_VALUES))
"""m of a generator that was asked in training."""


@dataclass(frozen=True)
class Shown:
    """Images of the people who are drawn, and what stands for each of them."""

    images_NHWC: np.ndarray
    person_N: np.ndarray
    by_center: bool

    @property
    def first_P(self) -> np.ndarray:
        """Row of an image of each person."""
        return np.unique(self.person_N, return_index=True)[1]

    def unit_PD(self, embedder: Embedder) -> np.ndarray:
        """The first image of each person, or the center of all of them and their mirrors."""
        if not self.by_center:
            return embedder.embed(self.images_NHWC[self.first_P])
        sums_PD = np.zeros((len(self.first_P), embedder.embed(self.images_NHWC[:1]).shape[1]))
        np.add.at(sums_PD, self.person_N, with_mirror(embedder, self.images_NHWC))
        length_P1 = np.linalg.norm(sums_PD, axis=1, keepdims=True)
        return np.asarray((sums_PD / length_P1).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--values", type=float, nargs="+", help="m, in the place of the usual ones")
    parser.add_argument("--save", help="a picture: a person a row, then the images by m")
    arguments = parser.parse_args()
    config = load(arguments.config, arguments.dotlist)
    torch.set_num_threads(config.plan.num_threads)
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    learned = TrainingSimilarities.from_checkpoint(loaded.config)
    values = tuple(arguments.values or usual_values(learned))
    shown = people_of(config, arguments.people, by_center=learned is not None)
    by_m = drawn(config, loaded, shown, values)
    label = "measured" if learned else "asked"
    result = {"label": label, "people": len(shown.first_P), "seen": learned and learned.range}
    print(json.dumps(result | judged(config, shown, by_m, values), indent=1))
    if arguments.save:
        save(arguments.save, shown, by_m)


def usual_values(learned: TrainingSimilarities | None) -> tuple[float, ...]:
    """ASKED, or as many evenly spaced ones of those of the training."""
    if learned is None:
        return ASKED
    return tuple(np.linspace(*learned.range, NUM_VALUES).round(4).tolist())


def people_of(config: Config, count: int, *, by_center: bool) -> Shown:
    """Evenly spaced people of the source, of those held out where some are."""
    source = open_source(config.source)
    num_names = len(source.names)
    num_heldout = config.source.num_heldout(num_names)
    names = np.arange(num_names - num_heldout if num_heldout else 0, num_names)
    chosen = names[np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]
    rows = [np.flatnonzero(source.labels == label) for label in chosen]
    rows = rows if by_center else [own[:1] for own in rows]
    images = np.stack([source[int(row)].image_HWC for own in rows for row in own])
    return Shown(images, np.repeat(np.arange(len(rows)), [len(own) for own in rows]), by_center)


def drawn(
    config: Config, loaded: checkpoint.Checkpoint, shown: Shown, values: tuple[float, ...]
) -> list[np.ndarray]:
    """Images [P, px, px, 3] of everybody for each m."""
    device, precision = pick_device(config.compute), config.compute.precision
    unit_PD = shown.unit_PD(open_recognizer(config))
    autoencoder = None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    generator = DiffusionGenerator(loaded, autoencoder, unit_PD, device, precision)
    size, sampler = config.plan.micro_batch or 16, config.sampler
    return [draw_each(generator, len(unit_PD), size, sampler, similarity=m) for m in values]


def judged(
    config: Config, shown: Shown, by_m: list[np.ndarray], values: tuple[float, ...]
) -> dict[str, Any]:
    """Figures by the recognizer and, where there is one, by the judge."""
    judges: dict[str, Embedder] = {"recognizer": open_recognizer(config)}
    if name := judge_of(config):
        judges["judge"] = open_embedder(name, pick_device(config.compute), "judge.checkpoint")
    result = {}
    for name, embedder in judges.items():
        own_PD = shown.unit_PD(embedder)
        cosine_MP = np.stack([(embedder.embed(images) * own_PD).sum(1) for images in by_m])
        result[name] = correlations(np.array(values), cosine_MP)
    return result


def correlations(m_M: np.ndarray, cosine_MP: np.ndarray) -> dict[str, Any]:
    """Spearman's correlation of m and cosine over all images, its mean over people, and means."""
    each_P = [spearman(m_M, cosine_M) for cosine_M in cosine_MP.T]
    means = dict(zip(map(str, m_M), cosine_MP.mean(1).round(4).tolist(), strict=True))
    return {
        "spearman": round(spearman(np.repeat(m_M, cosine_MP.shape[1]), cosine_MP.ravel()), 4),
        "spearman_within_people": round(float(np.mean(each_P)), 4),
        "mean_cosine": means,
    }


def save(path: str, shown: Shown, by_m: list[np.ndarray]) -> None:
    from PIL import Image

    first = shown.images_NHWC[shown.first_P[:12]]
    rows = [np.concatenate([image, *(m[i] for m in by_m)], 1) for i, image in enumerate(first)]
    Image.fromarray(np.concatenate(rows)).save(path)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks, ties at their mean rank."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


if __name__ == "__main__":
    main()
