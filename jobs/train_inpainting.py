"""Train the network that redraws a region of a face, from a generator (Mask-ControlNet's twin).

    python -m jobs.train_inpainting configs/editing/inpainting.yaml [section.key=value ...]

The same command resumes; with compute.num_ranks it trains on a gang of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs._command import run
from jobs._training import train_on_faces


def train_editor(config: Config, dry_run: bool) -> None:
    from factory.editing.uvit_inpainting import train

    train_on_faces(train, config, dry_run, "recognizer", "generator")


if __name__ == "__main__":
    run(__doc__ or "", train_editor)
