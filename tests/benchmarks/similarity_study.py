"""Does a generator trained with similarity tokens draw the given similarity (CemiFace)?

    python -m tests.benchmarks.similarity_study CONFIG [section.key=value ...] --inquiries 200

CONFIG is a release whose generator has similarity tokens. For each m from -.2 to 1 every inquiry
(images of different people of the source) is drawn once. Prints JSON: the mean cosine to it by m,
and Spearman's correlation of m and cosine, by the conditioning recognizer and by the judge.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.autoencoder import Autoencoder
from factory.identities.roster_building import open_recognizer
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of
from factory.sources import open_source
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device
from tests.benchmarks.drawing import draw_each

VALUES = [round(-0.2 + 0.1 * i, 1) for i in range(13)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--inquiries", type=int, default=200)
    parser.add_argument("--save", help="a picture: an inquiry a row, then its images by m")
    arguments = parser.parse_args()
    config = load(arguments.config, arguments.dotlist)
    device, precision = pick_device(config.compute), config.compute.precision
    torch.set_num_threads(config.plan.num_threads)
    recognizer, source = open_recognizer(config), open_source(config.source)
    _, firsts = np.unique(source.labels, return_index=True)
    chosen = firsts[np.linspace(0, len(firsts) - 1, arguments.inquiries).astype(int)]
    inquiries = np.stack([source[int(index)].image_HWC for index in chosen])
    unit_ND = recognizer.embed(inquiries)
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    generator = DiffusionGenerator(loaded, autoencoder, unit_ND, device, precision)
    size, sampler = config.plan.micro_batch or 16, config.sampler
    by_m = [draw_each(generator, len(chosen), size, sampler, similarity=m) for m in VALUES]
    given_m = np.repeat(VALUES, len(chosen))
    result = {"num_inquiries": len(chosen), "num_images": len(given_m)}
    judges = {"recognizer": recognizer}
    if name := judge_of(config):
        judges["judge"] = open_embedder(name, device, "judge.checkpoint")
    for name, embedder in judges.items():
        own_ND = embedder.embed(inquiries)
        cosine_MN = np.stack([(embedder.embed(images) * own_ND).sum(1) for images in by_m])
        means = cosine_MN.mean(1).round(4).tolist()
        result[name] = {
            "spearman": spearman(given_m, cosine_MN.ravel()),
            "mean_cosine": {str(m): mean for m, mean in zip(VALUES, means, strict=True)},
        }
    print(json.dumps(result, indent=1))
    if arguments.save:
        rows = [np.concatenate([inquiries[i], *(m[i] for m in by_m)], 1) for i in range(12)]
        from PIL import Image

        Image.fromarray(np.concatenate(rows)).save(arguments.save)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks, ties at their mean rank."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


if __name__ == "__main__":
    main()
