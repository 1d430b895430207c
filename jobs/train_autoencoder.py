"""Train the autoencoder in whose latents a generator works; the same command resumes.

python -m jobs.train_autoencoder configs/autoencoder/mini.yaml [training.out=runs/autoencoder]
"""

from __future__ import annotations

import json

from factory.config import Config
from jobs.command import print_faces, run


def train_autoencoder(config: Config, dry_run: bool) -> None:
    from factory.checkpoint import read_story
    from factory.diffusion.autoencoder import train
    from factory.sources import training_faces

    read_story(config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint")
    faces, heldout = training_faces(config.source)
    print_faces(faces, heldout)
    if not dry_run:
        print(json.dumps(train(config, faces, heldout), indent=2))
        print("wrote", config.training.out)


if __name__ == "__main__":
    run(__doc__ or "", train_autoencoder)
