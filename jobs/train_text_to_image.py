"""Train a small text-to-image model on captioned faces, written as a Stable Diffusion folder.

    python -m jobs.train_text_to_image configs/text_to_image/mini.yaml [section.key=value ...]

Its autoencoder comes first: jobs.train_autoencoder configs/text_to_image/autoencoder.yaml. The same
command resumes; with compute.num_ranks it trains on a gang of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs.command import run
from jobs.training import train_and_print


def train_text_to_image(config: Config, dry_run: bool) -> None:
    from factory.checkpoint import read_story
    from factory.editing.miniature import train
    from factory.sources import training_faces

    read_story(config.autoencoder.checkpoint, "autoencoder", "autoencoder.checkpoint")
    if dry_run:
        faces, heldout = training_faces(config.source)
        print(faces.describe(heldout))
        return
    train_and_print(train, config)


if __name__ == "__main__":
    run(__doc__ or "", train_text_to_image)
