"""What an independent judge makes of people whom a generator of few photographs draws.

    python -m tests.benchmarks.photographs_study CONFIG source.path=PEOPLE ... --people 30

CONFIG is a release. `--people` virtual people are proposed by `pca` in the conditioning
recognizer's space and drawn `--images` times at each guidance. Prints JSON: by the judge the AUC of
pairs of one person against pairs of two, both mean cosines, and the fraction of faces nearer to
somebody of the source than all but .01 of its own images are to another person; by the conditioning
recognizer the median cosine to the person asked for.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from factory import checkpoint
from factory.config import SamplerConfig, load
from factory.diffusion.autoencoder import Autoencoder
from factory.identities.proposals import PcaProposal
from factory.identities.roster_building import open_recognizer
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of
from factory.recognition.verification import auc
from factory.sources import open_source, read_faces
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device
from tests.benchmarks.drawing import draw_each

GUIDANCE = (1.0, 1.5, 2.0)
STRANGERS = 0.99


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--save", help="a picture: a person a row, at the second guidance")
    arguments = parser.parse_args()
    config = load(arguments.config, arguments.dotlist)
    device, precision = pick_device(config.compute), config.compute.precision
    torch.set_num_threads(config.plan.num_threads)
    recognizer = open_recognizer(config)
    faces = read_faces(open_source(config.source), config.source.max_corrupt_fraction)
    judge = open_embedder(judge_of(config) or "starter:judge", device, "judge.checkpoint")
    roster = people_of(recognizer.embed(faces.images_NHWC), faces.labels, arguments.people)
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    generator = DiffusionGenerator(loaded, autoencoder, roster, device, precision)
    real_ND, rows = judge.embed(faces.images_NHWC), []
    for guidance in GUIDANCE:
        sampler = SamplerConfig(guidance=guidance, num_steps=config.sampler.num_steps)
        drawn = [
            draw_each(generator, len(roster), config.plan.micro_batch or 16, sampler, image=image)
            for image in range(arguments.images)
        ]
        images, owners = np.concatenate(drawn), np.tile(np.arange(len(roster)), len(drawn))
        own = (recognizer.embed(images) * roster[owners]).sum(1)
        seen = as_seen(judge.embed(images), owners, real_ND, faces.labels)
        rows.append({"guidance": guidance, "own_cosine": round(float(np.median(own)), 3), **seen})
        if arguments.save and guidance == GUIDANCE[1]:
            from PIL import Image

            Image.fromarray(np.hstack([np.vstack(part[:12]) for part in drawn])).save(
                arguments.save
            )
    print(json.dumps({"people": len(roster), "images": arguments.images, "rows": rows}, indent=1))


def people_of(unit_ND: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Unit vectors [count, D] of virtual people, by `pca` of the source's class centers."""
    centers = np.stack([unit_ND[labels == label].mean(0) for label in np.unique(labels)])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    proposal = PcaProposal(centers, 64, seed=1)
    return proposal.draw(np.arange(count), np.zeros(count, np.int64))


def as_seen(
    made_ND: np.ndarray, owners: np.ndarray, real_MD: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Figures of faces in a judge's space; `owners` and `labels` say who is in each."""
    upper = np.triu_indices(len(made_ND), 1)
    cosines = (made_ND @ made_ND.T)[upper]
    same = owners[upper[0]] == owners[upper[1]]
    strangers = np.where(labels[:, None] == labels, -1.0, real_MD @ real_MD.T).max(1)
    near = (made_ND @ real_MD.T).max(1) > np.quantile(strangers, STRANGERS)
    figures = {
        "auc": auc(cosines[same], cosines[~same]),
        "same_person": cosines[same].mean(),
        "other_person": cosines[~same].mean(),
        "near_somebody_real": near.mean(),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


if __name__ == "__main__":
    main()
