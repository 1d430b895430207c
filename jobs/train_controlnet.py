"""Train a Mask-ControlNet on a frozen text-to-image model (booth.base).

    python -m jobs.train_controlnet configs/editing/controlnet.yaml [section.key=value ...]

The same command resumes; with compute.num_ranks it trains on a gang of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs.command import run
from jobs.training import train_on_faces


def train_controlnet(config: Config, dry_run: bool) -> None:
    from factory.editing.controlnet_training import train
    from factory.editing.text_to_image import locate

    locate(config.booth)
    train_on_faces(train, config, dry_run)


if __name__ == "__main__":
    run(__doc__ or "", train_controlnet)
