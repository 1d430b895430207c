"""Train a recognizer with real and virtual prototypes; the same command resumes.

    python -m jobs.train_recognizer configs/recognizer/mini.yaml [training.out=runs/recognizer]

Under `torchrun --nproc-per-node N -m jobs.train_recognizer CONFIG` it trains on N processes with
DeepSpeed.
"""

from __future__ import annotations

import json

from factory.config import Config
from jobs.command import print_faces, run


def train_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.train import train
    from factory.sources import training_faces

    faces, heldout = training_faces(config.source)
    print_faces(faces, heldout)
    if not dry_run:
        print(json.dumps(train(config, faces, heldout), indent=2))
        print("wrote", config.training.out)


if __name__ == "__main__":
    run(__doc__ or "", train_recognizer)
