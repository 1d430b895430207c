"""Train a Mask-ControlNet on a frozen text-to-image model.

    python -m jobs.train_controlnet configs/editing/controlnet.yaml [section.key=value ...]

The model is base_model.path. The same command resumes; with compute.num_ranks it trains on a gang
of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_controlnet(config: Config, dry_run: bool) -> None:
    from factory.editing.train_controlnet import open_moments, train
    from factory.text_to_image.base_provenance import require_base_license

    require_base_license(config.base_model, config.checkpoint)
    train_on_faces(train, config, dry_run, rows=[open_moments])


JOB = Job(
    __doc__,
    train_controlnet,
    reads=(*ON_FACES, "base_model", "base_training", "inpainting_training", "checkpoint"),
)

if __name__ == "__main__":
    JOB.main()
