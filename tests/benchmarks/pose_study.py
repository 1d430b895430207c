"""Does a generator with five points as its hint turn heads to their pose (VIGFace, ICCV version)?

    python -m tests.benchmarks.pose_study CONFIG [section.key=value ...] --people 24 --save pose.png

CONFIG is a release whose generator has generator.pose, with source.detector. People of the source
are drawn from their prototypes at each yaw from -40 to 40 degrees, and the detector looks at every
image. Prints JSON: the mean estimated yaw by requested yaw, how many faces were found, Spearman's
correlation of both, the mean error, and the cosine to the identity by yaw.
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
from factory.sources import open_source
from factory.sources.detector import DETECT_PX, YuNet
from factory.sources.pose import yaw_degrees
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device
from tests.benchmarks.drawing import draw_each
from tests.benchmarks.similarity_study import spearman

YAWS = list(range(-40, 41, 10))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--save", help="a picture: a person a row, yaw from left to right")
    arguments = parser.parse_args()
    config = load(arguments.config, arguments.dotlist)
    device, precision = pick_device(config.compute), config.compute.precision
    torch.set_num_threads(config.plan.num_threads)
    recognizer, source = open_recognizer(config), open_source(config.source)
    _, firsts = np.unique(source.labels, return_index=True)
    chosen = firsts[np.linspace(0, len(firsts) - 1, arguments.people).astype(int)]
    row = {name: index for index, name in enumerate(recognizer.real_names)}
    people = [row[source.names[int(source.labels[index])]] for index in chosen]
    unit_ND = recognizer.unit_real[people]
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    generator = DiffusionGenerator(loaded, autoencoder, unit_ND, device, precision)
    detector = YuNet(config.source.detector, enlarge_to=DETECT_PX)
    requested, estimated, cosines, rows = [], [], [], []
    for yaw in YAWS:
        drawn = draw_each(generator, len(chosen), 8, config.sampler, yaw=float(yaw), pitch=0.0)
        rows.append(drawn)
        cosines.append(float((recognizer.embed(drawn) * unit_ND).sum(1).mean()))
        for image in drawn:
            points = detector.landmarks(np.pad(image, ((32, 32), (32, 32), (0, 0)), mode="edge"))
            if points is not None:
                requested.append(yaw)
                estimated.append(yaw_degrees(points))
    both = list(zip(requested, estimated, strict=True))
    by_yaw = {yaw: [estimate for wanted, estimate in both if wanted == yaw] for yaw in YAWS}
    error = np.abs(np.array(requested) - np.array(estimated))
    result = {
        "num_images": len(YAWS) * len(chosen),
        "num_found": len(estimated),
        "estimated_yaw": {
            y: round(float(np.mean(estimates)), 1) for y, estimates in by_yaw.items()
        },
        "spearman": round(spearman(np.array(requested), np.array(estimated)), 3),
        "mean_error_deg": round(float(error.mean()), 2),
        "own_cosine": {y: round(c, 3) for y, c in zip(YAWS, cosines, strict=True)},
    }
    print(json.dumps(result))
    if arguments.save:
        from PIL import Image

        grid = [np.concatenate([row[person] for row in rows], 1) for person in range(8)]
        Image.fromarray(np.concatenate(grid)).save(arguments.save)


if __name__ == "__main__":
    main()
