"""What a GPU gives: agreement with the CPU, faces a second by batch, where the time goes, training.

    python -m tests.benchmarks.gpu --out gpu.json                 # on a machine with a GPU
    python -m tests.benchmarks.gpu --device cpu --small           # the rehearsal, in a minute

Needs no network and no Ray: the starter weights draw people in this process. Figures are
medians of several runs after a warm-up, the device idle before and after each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.train import train as train_generator
from factory.images import to_uint8
from factory.quality.scores import Scorer
from factory.recognition.embed import Recognizer
from factory.records import DrawnBatch, Shot
from factory.shards.writer import Encoding
from factory.sources import open_source, read_faces
from factory.synthesis.generators import DiffusionGenerator
from factory.training.distributed import pick_device
from tests.planned import request_with, shots_of

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
SIZES = (8, 32, 128, 512, 1024, 2048)
ROSTERS = (100, 100_000)
STEPS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="few sizes and steps")
    parser.add_argument("--train-steps", type=int, default=300)
    parser.add_argument("--out", type=Path, help="JSON file; else standard output")
    given = parser.parse_args()
    sizes, rosters = ((2,), (100,)) if given.small else (SIZES, ROSTERS)
    config = load(DEMO, [f"compute.device={given.device}"])
    device = pick_device(config.compute)
    figures: dict[str, Any] = {"machine": machine(device)}
    print(json.dumps(figures), flush=True)
    parts: dict[str, Callable[[], Any]] = {
        "agreement_with_cpu": lambda: agreement(device, 2 if given.small else 16),
        "faces_per_s": lambda: [faces_per_s(device, size, n) for n in rosters for size in sizes],
        "seconds_by_stage": lambda: [stages(device, size) for size in sizes],
        "generator_training": lambda: (
            training(given.device, 2, "generator.batch_size=4", "source.num_identities=2")
            if given.small
            else training(given.device, given.train_steps)
        ),
    }
    for name, measure in parts.items():
        started = time.perf_counter()
        figures[name] = measure()
        figures.setdefault("took_s", {})[name] = round(time.perf_counter() - started, 1)
        print(json.dumps({name: figures[name]}), flush=True)
        if given.out:
            given.out.write_text(json.dumps(figures, indent=1) + "\n")


def machine(device: torch.device) -> dict[str, Any]:
    """The card, the driver and the software."""
    figures: dict[str, Any] = {"torch": torch.__version__, "device": device.type}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        figures |= {
            "card": card.name,
            "capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "memory_bytes": card.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return figures


def generator_on(device: torch.device, precision: str, roster: int = 100) -> DiffusionGenerator:
    """The starter generator over random people."""
    loaded = checkpoint.load("starter:generator", "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load("starter:autoencoder", device, precision)
    return DiffusionGenerator(loaded, autoencoder, random_people(roster), device, precision)


def random_people(count: int, dim: int = 256) -> np.ndarray:
    unit_ND = np.random.default_rng(0).standard_normal((count, dim), dtype=np.float32)
    return unit_ND / np.linalg.norm(unit_ND, axis=1, keepdims=True)


def shots_for(size: int) -> list[Shot]:
    """A batch of the demo's kind: UniPC, 12 steps, guidance."""
    sampler = {"kind": "unipc", "num_steps": STEPS, "guidance": 1.5}
    request = request_with(sampler=sampler, plan={"micro_batch": size})
    return shots_of(request, [(i % 100, i // 100) for i in range(size)])


def median_s(device: torch.device, run: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of a run, the device idle before and after."""
    seconds = []
    for _ in range(repeats + 1):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def agreement(device: torch.device, count: int) -> dict[str, float]:
    """How near embeddings and images of this device are to those of the CPU in float32."""
    cpu, shots = torch.device("cpu"), shots_for(count)
    faces = read_faces(open_source(load(DEMO).source), 0.0).images_NHWC[: 8 * count]
    recognizers = [Recognizer.load("starter:recognizer", d) for d in (cpu, device)]
    cosines = (recognizers[0].embed(faces) * recognizers[1].embed(faces)).sum(1)
    images = generator_on(cpu, "fp32").generate(shots, count).images_BHWC
    figures = {"embedding_cosine_min": float(cosines.min())}
    for precision in ("fp32", "bf16"):
        again = generator_on(device, precision).generate(shots, count).images_BHWC
        alike = (recognizers[0].embed(images) * recognizers[0].embed(again)).sum(1)
        difference = np.abs(images.astype(np.int16) - again.astype(np.int16))
        figures[f"grey_levels_mean_{precision}"] = float(difference.mean())
        figures[f"grey_levels_max_{precision}"] = float(difference.max())
        figures[f"face_cosine_min_{precision}"] = float(alike.min())
    generator = generator_on(device, "bf16")
    first, second = (generator.generate(shots, count).images_BHWC for _ in range(2))
    figures["same_bytes_twice"] = float((first == second).all())
    return figures


def faces_per_s(device: torch.device, size: int, roster: int) -> dict[str, float]:
    """Drawn, embedded and scored faces a second, as a maker does it; bare: drawn alone."""
    generator, shots = generator_on(device, "bf16"), shots_for(size)
    recognizer = Recognizer.load("starter:recognizer", device)
    scorer = Scorer(random_people(roster), recognizer.unit_real, {})

    def whole() -> None:
        batch = generator.generate(shots, size)
        scorer.score(shots, batch, recognizer.embed(batch.images_BHWC))

    bare_s = median_s(device, lambda: generator.generate(shots, size), 3)
    whole_s = median_s(device, whole, 3)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "micro_batch": size,
        "roster": roster,
        "faces_per_s": round(size / whole_s, 2),
        "bare_faces_per_s": round(size / bare_s, 2),
        "peak_memory_bytes": memory,
    }


def stages(device: torch.device, size: int) -> dict[str, float]:
    """Seconds of a batch by stage."""
    generator, shots = generator_on(device, "bf16"), shots_for(size)
    autoencoder = Autoencoder.load("starter:autoencoder", device, "bf16")
    recognizer = Recognizer.load("starter:recognizer", device)
    scorer = Scorer(random_people(100), recognizer.unit_real, {})
    noise, conditioning = generator.inputs(shots, size)
    x0 = generator.sample(noise, conditioning, shots[0])
    with torch.inference_mode():
        decoded = autoencoder.decode(x0)
    images = to_uint8(decoded)
    unit_BD, batch = recognizer.embed(images), DrawnBatch(images)
    encoding = Encoding("jpeg", 95)

    def decode() -> None:
        with torch.inference_mode():
            autoencoder.decode(x0)

    runs: dict[str, Callable[[], object]] = {
        "noise_and_conditioning": lambda: generator.inputs(shots, size),
        "sampling": lambda: generator.sample(noise, conditioning, shots[0]),
        "decoding": decode,
        "copy_to_host": lambda: to_uint8(decoded),
        "embedding": lambda: recognizer.embed(images),
        "scoring": lambda: scorer.score(shots, batch, unit_BD),
        "jpeg_one_thread": lambda: [encoding.encode(image) for image in images],
    }
    return {"micro_batch": size} | {
        name: round(median_s(device, run, 3), 6) for name, run in runs.items()
    }


def training(device: str, steps: int, *changes: str) -> dict[str, Any]:
    """Images a second of the starter generator's recipe on the starter pack."""
    with tempfile.TemporaryDirectory() as out:
        recipe = [
            "generator.width=240",
            "generator.num_heads=5",
            "generator.batch_size=64",
        ]
        config = load(
            DEMO,
            [
                f"compute.device={device}",
                f"training.out={out}",
                f"training.max_steps={steps}",
                f"training.log_every={max(1, steps // 4)}",
                "generator.epochs=1000000",
                *recipe,
                *changes,
            ],
        )
        train_generator(config, lambda line: None)
        history = (Path(out) / "history.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in history]
    return {
        "steps": steps,
        "batch_size": config.generator.batch_size,
        "images_per_s": lines[-1]["images_per_s"],
        "loss_first": lines[0]["loss"],
        "loss_last": lines[-1]["loss"],
    }


if __name__ == "__main__":
    main()
