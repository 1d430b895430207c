"""Samplers at equal network calls against a long reference: which default is worth its cost?

    python -m tests.benchmarks.sampler_study CONFIG [section.key=value ...] --people 20 --images 8

CONFIG is a release, whose roster, weights, guidance and seeds are used; no store is written to.
Prints a table and JSON: for each sampler and number of calls, the root mean square distance to the
reference's images of the same noise (gray levels), the mean cosine to the identity, the overlap of
genuine cosines with the source's, and images a second over those of the reference.

A student of few calls is studied beside its teacher by tests/benchmarks/distilled_study.py.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config, load
from factory.diffusion.autoencoder import Autoencoder
from factory.evaluation.embeddings import real_faces
from factory.evaluation.similarity import histogram_overlap
from factory.identities.roster import Roster
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.recognition.verification import pair_cosines
from factory.records import Shot
from factory.shots.plan import cut_units, first_round_shots
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device

FEW = (8, 12, 16)
CASES = [
    ("ddim", "trailing", (20, 50, 100)),
    ("dpmpp_2m", "trailing", FEW),
    ("dpmpp_2m", "logsnr", FEW),
    ("unipc", "trailing", FEW),
    ("unipc", "logsnr", FEW),
    ("dpmpp_2s", "trailing", FEW),
]
REFERENCE = ("ddim", "trailing", 250)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--images", type=int, default=8)
    arguments = parser.parse_args()
    fixed = [
        f"identities.num_virtual={arguments.people}",
        f"plan.images_per_identity={arguments.images}",
    ]
    config = load(arguments.config, [*arguments.dotlist, *fixed])
    studied = Studied(config)
    reference, seconds = studied.draw(*REFERENCE)
    rows = [studied.row(REFERENCE, reference, reference, 1.0)]
    for kind, spacing, counts in CASES:
        for num_steps in counts:
            images, took = studied.draw(kind, spacing, num_steps)
            rows.append(studied.row((kind, spacing, num_steps), images, reference, seconds / took))
            print(json.dumps(rows[-1]), flush=True)
    print("| sampler | spacing | calls | px to reference | own cosine | overlap | speed |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['sampler']} | {row['spacing']} | {row['calls']} | {row['px']:.2f} | "
            f"{row['own_cosine']:.3f} | {row['overlap']:.3f} | {row['speed']:.1f} |"
        )


class Studied:
    """A roster, its shots and its generator."""

    def __init__(self, config: Config) -> None:
        inputs = preflight(config)
        self.recognizer = open_recognizer(config)
        self.roster: Roster = build_roster(
            config, self.recognizer, inputs.source, inputs.request.max_cosine
        )
        unit = cut_units(self.roster.identities, len(self.roster.identities))[0]
        self.shots: list[Shot] = first_round_shots(inputs.request, unit, self.roster)
        self.size = config.plan.micro_batch
        device, precision = pick_device(config.compute), config.compute.precision
        loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
        autoencoder = None
        if loaded.config["space"] == "latents":
            autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        self.generator = DiffusionGenerator(
            loaded, autoencoder, self.roster.unit_ND, device, precision
        )
        (real,) = real_faces(
            inputs.source, config.source, [self.recognizer], config.audit.embeddings_dir
        )
        few = real.labels < 300
        self.real_genuine, _ = pair_cosines(real.unit_ND[few], real.labels[few])

    def draw(self, kind: str, spacing: str, num_steps: int) -> tuple[np.ndarray, float]:
        """(images of all shots, seconds)."""
        started, images = time.perf_counter(), []
        changed = [
            replace(shot, sampler=kind, timestep_spacing=spacing, num_steps=num_steps)
            for shot in self.shots
        ]
        for first in range(0, len(changed), self.size):
            part = changed[first : first + self.size]
            images.append(self.generator.generate(part, self.size).images_BHWC[: len(part)])
        return np.concatenate(images), time.perf_counter() - started

    def row(
        self, case: tuple[str, str, int], images: np.ndarray, reference: np.ndarray, speed: float
    ) -> dict[str, str | int | float]:
        """Figures of one sampler's images."""
        unit_ND = self.recognizer.embed(images)
        identities = np.array([shot.identity for shot in self.shots])
        genuine, _ = pair_cosines(unit_ND, identities)
        difference = images.astype(np.float32) - reference
        return {
            "sampler": case[0],
            "spacing": case[1],
            "calls": case[2],
            "px": float(np.sqrt(np.square(difference).mean((1, 2, 3))).mean()),
            "own_cosine": float((unit_ND * self.roster.unit_ND[identities]).sum(1).mean()),
            "overlap": histogram_overlap(genuine, self.real_genuine),
            "speed": speed,
        }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
