"""Embed real people into a gallery that releases stay away from.

    python -m jobs.embed configs/demo.yaml source.kind=folder source.path=list.tar \\
        identities.gallery=list.npy

Writes unit vectors by the config's recognizer as float16 [images, D]. They tell who these people
are: guard them as you guard the photographs.
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from factory.errors import ConfigError
from jobs._job import Job


def embed(config: Config, dry_run: bool) -> None:
    from factory.identities.gallery_files import write_gallery
    from factory.identities.roster_building import embedded, open_recognizer
    from factory.sources import open_source
    from factory.store.atomic import check_place

    path = config.identities.gallery
    if not path or not path.endswith(".npy"):
        raise ConfigError(f"identities.gallery: got {path!r}; want the .npy file to write")
    check_place("identities.gallery", Path(path).absolute().parent)
    recognizer, source = open_recognizer(config), open_source(config.source)
    if dry_run:
        print("checked; nothing is written")
        return
    faces = embedded(recognizer, source, config.source.max_corrupt_fraction)
    count = write_gallery(path, (unit_BD for unit_BD, _ in faces), recognizer.sha256)
    print(f"wrote {path}: {count} images")


JOB = Job(__doc__, embed, reads=("source", "recognizer", "identities", "plan", "compute"))

if __name__ == "__main__":
    JOB.main()
