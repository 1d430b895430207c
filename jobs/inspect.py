"""Look at any dataset of faces before anything is made of it.

    python -m jobs.inspect photographs/
    python -m jobs.inspect train.rec --pairs lfw.bin --against s3://bucket/made/releases/0.1.0
    python -m jobs.inspect set.tar configs/releases/photographs.yaml source.image_px=160

SOURCE is a folder, .tar, .rec, WebDataset, release, LMDB, parquet or train.tsv; its kind is guessed
unless source.kind says it, and no license is asked for. Of CONFIG the sections source, judge,
features, compute and store are read. Writes inspect/index.html and inspect.json, which show and
name the images: keep them where you keep these.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jobs._arguments import flag, option
from jobs._job import Job


def inspect(
    words: list[str],
    against: str | None,
    pairs: str | None,
    out: str,
    sample: int | None,
    judge: str | None,
    strict: bool,
) -> None:
    from factory.inspection.request import request_of
    from factory.inspection.writing import looked_and_written
    from jobs._progress import images_bar, timed

    request = request_of(words, against=against, pairs=pairs, sample=sample, judge=judge)
    with images_bar() as watch, timed(f"page         {out}/index.html"):
        found = looked_and_written(request, Path(out), watch, print)
    sys.exit(1 if strict and found.has_findings else 0)


OPTIONS = (
    option("--against", "another dataset: who and what of it is in SOURCE", "OTHER"),
    option("--pairs", "a benchmark's pairs.txt or .bin: what of it is in SOURCE", "FILE"),
    option("--out", "folder to write to", "FOLDER", default="inspect"),
    option("--sample", "look at so many people only, chosen by their names' hashes", "N", int),
    option("--judge", "recognizer that compares people, as judge.checkpoint; none", "NAME"),
    flag("--strict", "exit code 1 where something was found"),
)
WORDS = "SOURCE [CONFIG] [section.key=value ...]"
JOB = Job(__doc__, inspect, load=None, options=OPTIONS, words=WORDS)

if __name__ == "__main__":
    JOB.main()
