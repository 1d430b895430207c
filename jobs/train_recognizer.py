"""Train a recognizer with real and virtual prototypes.

    python -m jobs.train_recognizer configs/recognizer/mini.yaml [training.out=runs/recognizer]
    python -m jobs.train_recognizer configs/recognizer/casia_r50.yaml compute.num_ranks=8
    torchrun --nproc-per-node 8 -m jobs.train_recognizer configs/recognizer/casia_r50.yaml

The same command resumes. With compute.num_ranks it trains on a gang of Ray actors, one GPU each,
and survives their deaths.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import TRAINING
from jobs._training import check_training_sources, train_and_print


def train_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.batches import open_training_set
    from factory.recognition.memory import memory_line
    from factory.recognition.train import check, train

    check(config)
    check_training_sources(config)
    if dry_run:
        training_set, heldout = open_training_set(config)
        need = memory_line(config, len(training_set.names))
        print("\n".join([*training_set.lines, training_set.describe(heldout), need]))
        return
    train_and_print(train, config)


JOB = Job(__doc__, train_recognizer, reads=(*TRAINING, "batches", "recognizer"))

if __name__ == "__main__":
    JOB.main()
