"""Train the diffusion model that draws a person from an embedding; the same command resumes.

    python -m jobs.train_generator configs/generator/mini.yaml [training.out=runs/generator]

Under `torchrun --nproc-per-node N -m jobs.train_generator CONFIG` it trains on N processes with
DeepSpeed.
"""

from __future__ import annotations

import json

from factory.config import Config
from jobs.command import print_faces, run


def train_generator(config: Config, dry_run: bool) -> None:
    from factory.checkpoint import read_story
    from factory.diffusion.train import train
    from factory.sources import training_faces

    read_story(config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint")
    if config.generator.space == "latents":
        read_story(config.autoencoder.checkpoint, "autoencoder", "autoencoder.checkpoint")
    faces, heldout = training_faces(config.source)
    print_faces(faces, heldout)
    if not dry_run:
        print(json.dumps(train(config, faces), indent=2))
        print("wrote", config.training.out)


if __name__ == "__main__":
    run(__doc__ or "", train_generator)
