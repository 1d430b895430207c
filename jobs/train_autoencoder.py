"""Train the autoencoder in whose latents a generator works.

    python -m jobs.train_autoencoder configs/autoencoder/mini.yaml [training.out=runs/autoencoder]

The same command resumes. With compute.num_ranks it trains on a gang of Ray actors, one GPU each,
and survives their deaths.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_autoencoder(config: Config, dry_run: bool) -> None:
    from factory.diffusion.autoencoder import train

    train_on_faces(train, config, dry_run, "recognizer")


JOB = Job(__doc__, train_autoencoder, reads=(*ON_FACES, "recognizer", "autoencoder"))

if __name__ == "__main__":
    JOB.main()
