"""Give a trained recognizer virtual prototypes that are faces.

    python -m jobs.train_prototypes configs/recognizer/starter.yaml \\
        recognizer.checkpoint=runs/starter/recognizer training.out=runs/starter/prototypes \\
        [recognizer.prototypes.steps=600]

CONFIG is the recipe of the recognizer, which takes recognizer.num_virtual new prototypes in
seconds, after recognizer.prototypes.max_images of its faces were embedded. All else stays as it is,
so generators that were trained with it go on. jobs.train_recognizer does the same at its end where
recognizer.prototypes.steps is given.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import TRAINING
from jobs._training import check_training_sources, train_and_print


def train_prototypes(config: Config, dry_run: bool) -> None:
    from factory.recognition.train_prototypes import check_prototypes
    from factory.recognition.train_prototypes import train_prototypes as train

    check_prototypes(config)
    check_training_sources(config)
    if dry_run:
        print("checked; nothing is written")
        return
    train_and_print(train, config)


JOB = Job(__doc__, train_prototypes, reads=(*TRAINING, "batches", "recognizer"))

if __name__ == "__main__":
    JOB.main()
