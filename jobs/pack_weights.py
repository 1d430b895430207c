"""Copy the checkpoints of a config in bf16 to training.out.

    python -m jobs.pack_weights configs/starter.yaml

Their lineages are rewritten to match.
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from jobs._job import Job


def pack_weights(config: Config, dry_run: bool) -> None:
    from factory import checkpoint
    from factory.planning.places import check_training_places
    from factory.recognition.judge import AUTO

    names = {
        "recognizer": config.recognizer.checkpoint,
        "autoencoder": config.autoencoder.checkpoint,
        "generator": config.generator.checkpoint,
    }
    if config.judge.checkpoint not in (None, AUTO):
        names["judge"] = config.judge.checkpoint
    for role, name in names.items():
        kind = "recognizer" if role == "judge" else role
        checkpoint.read_metadata(name, kind, f"{role}.checkpoint")
    check_training_places(config)
    if dry_run:
        print("checked; nothing is written")
        return
    sizes = checkpoint.pack(names, Path(config.training.out))
    for role, size in sizes.items():
        print(f"{role:12} {size / 1e6:6.2f} MB")
    print(f"{'together':12} {sum(sizes.values()) / 1e6:6.2f} MB in {config.training.out}")


JOB = Job(
    __doc__, pack_weights, reads=("training", "recognizer", "autoencoder", "generator", "judge")
)

if __name__ == "__main__":
    JOB.main()
