"""Measure a recognizer on pairs of faces, as on LFW.

    python -m jobs.verify_recognizer configs/recognizer/mini.yaml \\
        recognizer.checkpoint=runs/mini/recognizer source.path=test.tar source.pairs=pairs.txt
    python -m jobs.verify_recognizer configs/recognizer/casia_r50.yaml source.pairs=lfw.bin
    python -m jobs.verify_recognizer ... recognizer.checkpoint=buffalo_l   (also x.onnx, or dlib)

Gives accuracy by folds, AUC, EER, FDR, FMR100, FMR1000 and TAR at FAR, each with its 95 % interval
by resampling people (pairs, of a .bin, which does not name people); recognizer.mirror_sum=raw sums
image and mirror image as insightface does.
"""

from __future__ import annotations

from factory.config import Config
from factory.errors import ConfigError
from factory.store.json_text import json_text
from jobs._job import Job


def verify_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.external import describe_embedder, open_embedder
    from factory.recognition.pairs import open_pairs
    from factory.recognition.verification import verify_pairs
    from factory.training.distributed import pick_device

    source = config.source
    if source.pairs is None:
        raise ConfigError("source.pairs: nothing given; want LFW's pairs.txt or insightface's .bin")
    name, key = config.recognizer.checkpoint, "recognizer.checkpoint"
    describe_embedder(name, key)
    pairs = open_pairs(source)
    if dry_run:
        print("checked; nothing is written")
        return
    embedder = open_embedder(name, pick_device(config.compute), key)
    embedder.mirror_sum = config.recognizer.mirror_sum or embedder.mirror_sum
    print(json_text(verify_pairs(embedder, pairs), indent=2))


JOB = Job(__doc__, verify_recognizer, reads=("source", "recognizer", "compute"))

if __name__ == "__main__":
    JOB.main()
