"""Look at any dataset of faces before anything is made of it.

    python -m jobs.inspect photographs/
    python -m jobs.inspect train.rec --pairs lfw.bin --against s3://bucket/made/releases/0.1.0
    python -m jobs.inspect set.tar configs/releases/photographs.yaml source.image_px=160

SOURCE is a folder, .tar, .rec, WebDataset, release, LMDB, parquet or train.tsv; its kind is guessed
unless source.kind says it, and no license is asked for. Writes inspect/index.html and inspect.json:
people, images, what is left out, alignment, light and pose, copies, doubtful labels, overlap, and
the recipe that fits. They show and name the images: keep them where you keep these.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from jobs._arguments import flag, option
from jobs._job import Job


def inspect(words: list[str], out: str, strict: bool, **wanted: Any) -> None:
    from factory.inspection.request import request_of
    from factory.inspection.tables import summary
    from factory.inspection.writing import looked_and_written
    from jobs._progress import images_bar

    begin = time.perf_counter()
    request = request_of(words, **wanted)
    with images_bar() as watch:
        found = looked_and_written(request, Path(out), watch)
    print("\n".join(summary(found)))
    print(f"page         {out}/index.html ({time.perf_counter() - begin:.0f} s)")
    sys.exit(1 if strict and found.has_findings else 0)


OPTIONS = (
    option("--against", "another dataset: who and what of it is in SOURCE", "OTHER"),
    option("--pairs", "a benchmark's pairs.txt or .bin: what of it is in SOURCE", "FILE"),
    option("--out", "folder to write to", "FOLDER", default="inspect"),
    option("--sample", "look at so many people only, chosen by their names' hashes", "N", int),
    option("--judge", "recognizer that compares people, as judge.checkpoint; none", "NAME"),
    flag("--strict", "exit code 1 where something was found"),
)
JOB = Job(
    __doc__,
    inspect,
    load=None,
    options=OPTIONS,
    reads=("source", "judge", "features", "compute", "store"),
    words="SOURCE [CONFIG] [section.key=value ...]",
)

if __name__ == "__main__":
    JOB.main()
