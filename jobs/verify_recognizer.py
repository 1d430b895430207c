"""Measure a recognizer on a pairs file: accuracy by folds, AUC, EER, FDR.

    python -m jobs.verify_recognizer configs/recognizer/mini.yaml \\
        recognizer.checkpoint=runs/mini/recognizer source.path=test.tar source.pairs=pairs.txt
"""

from __future__ import annotations

import json

from factory.config import Config
from factory.errors import ConfigError
from jobs.command import run


def verify_recognizer(config: Config, dry_run: bool) -> None:
    from factory.checkpoint import read_story
    from factory.distributed import pick_device
    from factory.recognition.embed import Recognizer
    from factory.recognition.verification import verify_pairs
    from factory.sources import open_source, read_faces

    if config.source.pairs is None:
        raise ConfigError("source.pairs: nothing given; want a file in the form of LFW's pairs.txt")
    read_story(config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint")
    faces = read_faces(open_source(config.source), config.source.max_corrupt_fraction)
    if dry_run:
        return
    recognizer = Recognizer.load(config.recognizer.checkpoint, pick_device(config.compute))
    print(json.dumps(verify_pairs(recognizer, faces, config.source.pairs), indent=2))


if __name__ == "__main__":
    run(__doc__ or "", verify_recognizer)
