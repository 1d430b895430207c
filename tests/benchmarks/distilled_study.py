"""A student of few calls beside its teacher, from the same noise: what do the calls saved cost?

    python -m tests.benchmarks.distilled_study CONFIG STUDENT [section.key=value ...]
        --people 16 --images 6 [--sheet grid.png]

CONFIG is a release of the teacher, whose source, networks and sampler are used; STUDENT is a folder
that jobs.distill wrote. One image of each of some people of the source is drawn from several times.
Prints a JSON line for the config's sampler, for UniPC and DDIM of the teacher at as many guided
steps as the student has calls, for the student before it learned anything, and for the student:
cosine to that image and AUC by recognizer and judge, diversity (distance between people as a
fraction of that between their images), sharpness (median variance of the Laplacian), spread of
pixels within a person, distance in the denoised space and cosine to what the config's sampler
draws, and faces a second with decoding over its (medians of rounds in which all draw in turn, by
the process's own time on a CPU). The sheet has the source's images, then a row of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.distilled_figures import relative_distance, spread
from factory.diffusion.generator_figures import one_of_each, probe
from factory.diffusion.train import save_png
from factory.quality.pixels import sharpness_and_brightness
from factory.recognition.embed import Recognizer
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of
from factory.records import Shot
from factory.sources import open_source, read_faces
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device

BATCH, ROUNDS = 16, 3
"""Shots of a batch; timings of each sampler."""
SHOWN = 8
"""People of the sheet."""
Drawn = tuple[np.ndarray, torch.Tensor]
"""Images [N, H, W, 3] and what they were decoded from."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("student")
    parser.add_argument("dotlist", nargs="*")
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    config = load(arguments.config, arguments.dotlist)
    device, precision = pick_device(config.compute), config.compute.precision
    faces = read_faces(open_source(config.source), config.source.max_corrupt_fraction)
    given = faces.images_NHWC[one_of_each(faces.labels, arguments.people)]
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    judge = open_embedder(judge_of(config) or "starter:judge", device, "judge.checkpoint")
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    unit_ND = recognizer.embed(given)

    def opened(name: str, key: str) -> tuple[DiffusionGenerator, dict[str, Any]]:
        loaded = checkpoint.load(name, "generator", key)
        generator = DiffusionGenerator(loaded, autoencoder, unit_ND, device, precision)
        return generator, loaded.config

    teacher, _ = opened(config.generator.checkpoint, "generator.checkpoint")
    student, facts = opened(arguments.student, "STUDENT")
    sampler, calls = config.sampler, int(facts["distilled"]["num_steps"])
    cases = {
        f"{sampler.kind}, 2 x {sampler.num_steps} calls": (
            teacher,
            sampler.kind,
            sampler.num_steps,
        ),
        f"unipc, 2 x {calls} calls": (teacher, "unipc", calls),
        f"ddim, 2 x {calls} calls": (teacher, "ddim", calls),
        f"student before it learned, {calls} calls": (teacher, "distilled", calls),
        f"distilled, {calls} calls": (student, "distilled", calls),
    }
    count = arguments.people * arguments.images

    def drawing(case: tuple[DiffusionGenerator, str, int]) -> Callable[[int, int], Drawn]:
        generator, kind, num_steps = case
        guidance = float(facts["distilled"]["guidance"])

        @torch.inference_mode()
        def batch(first: int, size: int) -> Drawn:
            shots = [
                Shot(f"{i}", i // arguments.images, i, 0, i, kind, num_steps, guidance, 0, slot)
                for slot, i in enumerate(range(first, min(first + size, count)))
            ]
            noise, conditioning = generator.inputs(shots, size)
            x0 = generator.sample(noise, conditioning, shots[0])
            images = generator.pixels(x0, shots).cpu().numpy()
            return images[: len(shots)], x0[: len(shots)].float().cpu()

        return batch

    draws = {name: drawing(case) for name, case in cases.items()}
    drawn = {name: _whole(draw, count) for name, draw in draws.items()}
    rates, (first, *_) = faces_a_second(draws), draws
    owner = np.repeat(np.arange(arguments.people), arguments.images)
    for name, (images, x0) in drawn.items():
        row: dict[str, Any] = {"sampler": name, "images": count}
        for by, embedder in (("recognizer", recognizer), ("judge", judge)):
            found, asked = embedder.embed(images), embedder.embed(given)[owner]
            row[f"{by} own cosine"] = float((found * asked).sum(1).mean())
            figures = probe(asked, owner, found)
            row |= {f"{by} {key}": figures[key] for key in ("own_auc", "diversity")}
            beside = embedder.embed(drawn[first][0])
            row[f"{by} cosine to first"] = float((found * beside).sum(1).mean())
        row["sharpness"] = float(np.median(sharpness_and_brightness(images)[0]))
        row["spread"] = spread(images, arguments.images)
        row["distance"] = relative_distance(x0, drawn[first][1])
        row["speed"] = rates[name] / rates[first]
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}))
    if arguments.sheet:
        rows = [given[:SHOWN], *(x[:: arguments.images][:SHOWN] for x, _ in drawn.values())]
        save_png(arguments.sheet, np.concatenate([np.concatenate(list(r), 1) for r in rows]))


def _whole(draw: Callable[[int, int], Drawn], count: int) -> Drawn:
    parts = [draw(first, BATCH) for first in range(0, count, BATCH)]
    return np.concatenate([images for images, _ in parts]), torch.cat([x0 for _, x0 in parts])


def faces_a_second(draws: dict[str, Callable[[int, int], Drawn]]) -> dict[str, float]:
    """Of each case: the median over ROUNDS batches."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for _ in range(ROUNDS):
        for name, draw in draws.items():
            started = clock()
            draw(0, BATCH)
            seconds[name].append(clock() - started)
    return {name: BATCH / float(np.median(took)) for name, took in seconds.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
