"""Copy a config's checkpoints in bf16 to training.out, with lineages that match.

python -m jobs.pack_weights configs/starter.yaml
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from jobs._command import run


def pack_weights(config: Config, dry_run: bool) -> None:
    from factory import checkpoint

    names = {
        "recognizer": config.recognizer.checkpoint,
        "autoencoder": config.autoencoder.checkpoint,
        "generator": config.generator.checkpoint,
    }
    if config.judge.checkpoint:
        names["judge"] = config.judge.checkpoint
    for role, name in names.items():
        kind = "recognizer" if role == "judge" else role
        checkpoint.read_metadata(name, kind, f"{role}.checkpoint")
    if dry_run:
        return
    sizes = checkpoint.pack(names, Path(config.training.out))
    for role, size in sizes.items():
        print(f"{role:12} {size / 1e6:6.2f} MB")
    print(f"{'together':12} {sum(sizes.values()) / 1e6:6.2f} MB in {config.training.out}")


if __name__ == "__main__":
    run(__doc__ or "", pack_weights)
