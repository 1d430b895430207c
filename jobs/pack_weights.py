"""Copy checkpoints of a config in bf16, and first people of its source.

    python -m jobs.pack_weights configs/starter.yaml
    python -m jobs.pack_weights configs/starter.yaml source.kind=webdataset \\
        source.path=runs/releases/starter_people/releases/1.0.0

The checkpoints' lineages are rewritten to match. With a source, pack.tar holds as many of its first
people as 12 MB take, as JPEGs of quality 90. Both go to training.out.
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from jobs._job import Job


def pack_weights(config: Config, dry_run: bool) -> None:
    from factory import checkpoint
    from factory.planning.places import check_training_places
    from factory.recognition.judge import AUTO
    from factory.sources import open_source
    from factory.sources.packing import pack_people

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
    source = open_source(config.source) if config.source.path else None
    check_training_places(config)
    if dry_run:
        print("checked; nothing is written")
        return
    out = Path(config.training.out)
    sizes = checkpoint.pack(names, out)
    for role, size in sizes.items():
        print(f"{role:12} {size / 1e6:6.2f} MB")
    print(f"{'together':12} {sum(sizes.values()) / 1e6:6.2f} MB in {out}")
    if source is not None:
        people, images = pack_people(source, out / "pack.tar")
        size = (out / "pack.tar").stat().st_size
        print(f"{'pack.tar':12} {size / 1e6:6.2f} MB, {images} images of {people} people")


SECTIONS = ("training", "source", "recognizer", "autoencoder", "generator", "judge")
JOB = Job(__doc__, pack_weights, reads=SECTIONS)

if __name__ == "__main__":
    JOB.main()
