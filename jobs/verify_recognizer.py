"""Measure a recognizer on pairs of faces, as on LFW.

    python -m jobs.verify_recognizer configs/recognizer/mini.yaml \\
        recognizer.checkpoint=runs/mini/recognizer source.path=test.tar source.pairs=pairs.txt
    python -m jobs.verify_recognizer configs/recognizer/casia_r50.yaml source.pairs=lfw.bin
    python -m jobs.verify_recognizer ... recognizer.checkpoint=buffalo_l   (also x.onnx, or dlib)
    python -m jobs.verify_recognizer ... verification.out=runs/lfw quality.table=ofiq.csv

Gives accuracy by folds, AUC, EER, FDR, FMR100, FMR1000 and TAR at FAR with 95 % intervals over
people (pairs, of a .bin), and errors by source.groups. verification.out: folder for the scores of
all pairs (Parquet, CSV, pyeer), thresholds, DET, ROC and, with quality.table or quality.model, the
error-versus-discard curve. recognizer.mirror_sum=raw sums image and mirror image as insightface.
"""

from __future__ import annotations

from pathlib import Path

from factory.config import Config
from factory.errors import ConfigError
from factory.store.json_text import json_text
from jobs._job import Job


def verify_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.external import describe_embedder, open_embedder
    from factory.recognition.group_errors import group_figures
    from factory.recognition.image_quality import PairQuality
    from factory.recognition.pairs import open_pairs
    from factory.recognition.verification import embed_pairs, figures_of
    from factory.report.verification import write
    from factory.store.atomic import check_place
    from factory.training.distributed import pick_device

    source, out = config.source, config.verification.out
    if source.pairs is None:
        raise ConfigError("source.pairs: nothing given; want LFW's pairs.txt or insightface's .bin")
    name, key = config.recognizer.checkpoint, "recognizer.checkpoint"
    describe_embedder(name, key)
    if out:
        check_place("verification.out", Path(out))
    pairs, device = open_pairs(source), pick_device(config.compute)
    quality = PairQuality(config.quality, pairs, device) if out else None
    if dry_run:
        print("checked; nothing is written")
        return
    embedder = open_embedder(name, device, key)
    embedder.mirror_sum = config.recognizer.mirror_sum or embedder.mirror_sum
    unit_ND = embed_pairs(embedder, pairs)
    figures = figures_of(unit_ND, pairs, embedder.mirror_sum) | group_figures(unit_ND, pairs)
    print(json_text(figures, indent=2))
    if quality:
        print("wrote", write(config, figures, unit_ND, pairs, quality))


SECTIONS = ("source", "recognizer", "quality", "verification", "compute")
JOB = Job(__doc__, verify_recognizer, reads=SECTIONS)

if __name__ == "__main__":
    JOB.main()
