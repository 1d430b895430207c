"""Distill a generator into one of few network calls, guidance folded in.

    python -m jobs.distill configs/generator/distilled.yaml [distillation.teacher=runs/generator]

Releases draw with it by generator.checkpoint and sampler.kind=distilled. The same command resumes.
With compute.num_ranks it trains on a gang of Ray actors, one GPU each, and survives their deaths.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def distill(config: Config, dry_run: bool) -> None:
    from factory import checkpoint
    from factory.diffusion.distill import check_teacher
    from factory.diffusion.distill import distill as train
    from factory.diffusion.latent_cache import open_embeddings, open_latents

    key = "distillation.teacher"
    teacher = checkpoint.read_metadata(config.distillation.teacher, "generator", key)["config"]
    check_teacher(config.distillation, teacher)
    in_latents, by_image = teacher["space"] == "latents", teacher["condition"] == "image"
    rows = [*([open_latents] if in_latents else []), *([open_embeddings] if by_image else [])]
    needs = ["recognizer", *(["autoencoder"] if in_latents else [])]
    train_on_faces(train, config, dry_run, *needs, rows=rows)


JOB = Job(__doc__, distill, reads=(*ON_FACES, "recognizer", "autoencoder", "distillation"))

if __name__ == "__main__":
    JOB.main()
