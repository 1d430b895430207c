"""Train the diffusion model that draws a person from an embedding.

    python -m jobs.train_generator configs/generator/mini.yaml [training.out=runs/generator]
    python -m jobs.train_generator configs/generator/vigface.yaml compute.num_ranks=8

The same command resumes. With compute.num_ranks it trains on a gang of Ray actors, one GPU each,
and survives their deaths; before that the fleet makes the latents and embeddings of a large source.
`torchrun --nproc-per-node N -m jobs.train_generator CONFIG` does without Ray.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_generator(config: Config, dry_run: bool) -> None:
    from factory.diffusion.train import rows_read, train

    latents = ["autoencoder"] if config.generator.space == "latents" else []
    train_on_faces(train, config, dry_run, "recognizer", *latents, rows=rows_read(config))


JOB = Job(__doc__, train_generator, reads=(*ON_FACES, "recognizer", "autoencoder", "generator"))

if __name__ == "__main__":
    JOB.main()
