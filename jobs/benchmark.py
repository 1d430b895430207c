"""Measure a recognizer on the sets that papers average, beside theirs.

    python -m jobs.benchmark runs/field/recognizer configs/benchmarks/five.yaml \\
        benchmark.folder=BINS
    python -m jobs.benchmark buffalo_l configs/benchmarks/five.yaml benchmark.folder=BINS

BINS holds lfw.bin, cfp_fp.bin, agedb_30.bin, calfw.bin and cplfw.bin. Gives accuracy by ten folds,
and the average, with 95 % intervals by resampling people, in benchmark.out/benchmark.json and as a
table. A file that is missing is a missing cell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from factory.config import Config
from jobs._arguments import Argument
from jobs._job import Job

RECOGNIZER = Argument(
    "recognizer", "a checkpoint folder, starter:NAME, an .onnx, an insightface pack, or dlib"
)
FILE = "benchmark.json"


def benchmark(recognizer: str, config: Config, dry_run: bool) -> None:
    from factory.evaluation.metrics.json_form import to_json
    from factory.recognition.external import describe_embedder, open_embedder
    from factory.report.benchmark import print_tables
    from factory.shards.manifest import put_json
    from factory.store import open_store
    from factory.store.atomic import check_place
    from factory.studies import benchmark as study
    from factory.training.distributed import pick_device

    study.check(config)
    describe_embedder(recognizer, "recognizer")
    out = open_store(replace(config.store, url=config.benchmark.out))
    check_place("benchmark.out", Path(config.benchmark.out))
    if dry_run:
        print("checked; nothing is written")
        return
    embedder = open_embedder(recognizer, pick_device(config.compute), "recognizer")
    embedder.mirror_sum = config.recognizer.mirror_sum or embedder.mirror_sum
    measured = study.benchmark(config, embedder, print)
    put_json(out, FILE, to_json(measured))
    print_tables(measured)
    print("wrote", f"{out.url}/{FILE}")


JOB = Job(
    __doc__,
    benchmark,
    subjects=(RECOGNIZER,),
    reads=("source", "recognizer", "compute", "store", "benchmark"),
)

if __name__ == "__main__":
    JOB.main()
