"""Train the network that redraws a region of a face.

    python -m jobs.train_inpainting configs/editing/inpainting.yaml [section.key=value ...]

It begins with the weights of a generator. The same command resumes; with compute.num_ranks it
trains on a gang of Ray actors.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import ON_FACES
from jobs._training import train_on_faces


def train_inpainting(config: Config, dry_run: bool) -> None:
    from factory.editing.uvit_inpainting import rows_read, train

    rows = rows_read(config)
    train_on_faces(train, config, dry_run, "recognizer", "generator", rows=rows)


JOB = Job(
    __doc__,
    train_inpainting,
    reads=(*ON_FACES, "recognizer", "autoencoder", "generator", "inpainting_training"),
)

if __name__ == "__main__":
    JOB.main()
