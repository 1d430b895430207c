"""Train the autoencoder in whose latents a generator works.

    python -m jobs.train_autoencoder configs/autoencoder/mini.yaml [training.out=runs/autoencoder]

The same command resumes. With autoencoder.adversarial_epochs above 0 a second stage makes the
decoder sharp, and a decoder that there is already gets that stage alone by

    python -m jobs.train_autoencoder configs/autoencoder/starter.yaml autoencoder.epochs=0 \\
        autoencoder.init_from=starter:autoencoder recognizer.checkpoint=starter:recognizer

With compute.num_ranks it trains on a gang of Ray actors, one GPU each,
and survives their deaths.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_autoencoder(config: Config, dry_run: bool) -> None:
    from factory.diffusion.adversarial_stage import stages

    trainings = stages(config)
    for train, stage in trainings[:1] if dry_run else trainings:
        train_on_faces(train, stage, dry_run, "recognizer")


JOB = Job(__doc__, train_autoencoder, reads=(*ON_FACES, "recognizer", "judge", "autoencoder"))

if __name__ == "__main__":
    JOB.main()
