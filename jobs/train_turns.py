"""Learn in which directions images of one person lie.

    python -m jobs.train_turns configs/turns/starter.yaml [training.out=runs/turns]

It embeds the faces and solves for the turns, in seconds to minutes. A release then takes
sampler.perturb_identity=learned turns.checkpoint=runs/turns.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import TRAINING
from jobs._training import train_on_faces


def train_turns(config: Config, dry_run: bool) -> None:
    from factory.diffusion.train_turns import train

    train_on_faces(train, config, dry_run, "recognizer")


JOB = Job(__doc__, train_turns, reads=(*TRAINING, "recognizer", "turns"))

if __name__ == "__main__":
    JOB.main()
