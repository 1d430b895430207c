"""Train a small text-to-image model on captioned faces.

    python -m jobs.train_base configs/base_model/mini.yaml [section.key=value ...]

It is written as a Stable Diffusion folder. Its autoencoder comes first: jobs.train_autoencoder
configs/base_model/autoencoder.yaml. The same command resumes; with compute.num_ranks it trains on a
gang of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_base(config: Config, dry_run: bool) -> None:
    from factory.diffusion.latent_cache import open_latents
    from factory.text_to_image.train_base import train

    train_on_faces(train, config, dry_run, "autoencoder", rows=[open_latents])


JOB = Job(
    __doc__,
    train_base,
    reads=(*ON_FACES, "autoencoder", "base_training", "judge", "personalization"),
)

if __name__ == "__main__":
    JOB.main()
