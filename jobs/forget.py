"""Withdraw a person: find all that holds them, write versions without.

    python -m jobs.forget runs/releases/demo anna --dry-run
    python -m jobs.forget s3://bucket/prefix/demo anna --source demo.yaml --networks runs --delete

Each version with images of the person gets a successor with unchanged labels and bytes of all
others, and is marked withdrawn; latest.json moves. --delete then deletes what withdrawn versions
and LoRAs hold of them. The same command goes on where it stopped. FACE_FACTORY_PSEUDONYM_KEY finds
those who are called by pseudonyms.
"""

from __future__ import annotations

from datetime import date

from jobs._arguments import Argument, flag, option
from jobs._job import DRY_RUN, Job


def forget(
    *, dataset: str, person: str, store: list[str], source: str | None, networks: list[str],
    version: str | None, partial: bool, delete: bool, yes: bool, dry_run: bool,
) -> None:  # fmt: skip
    from factory.config import load
    from factory.shards.withdrawal import confirm, find

    faces = load(source, []).source if source else None
    withdrawal = find(dataset, person, store, faces, networks)
    print("\n".join(withdrawal.lines(delete)), flush=True)
    if dry_run:
        print("nothing is written or deleted")
        return
    if delete and not yes:
        confirm(withdrawal.versions)
    today = date.today().isoformat()
    withdrawal.write(today, print, version, partial=partial)
    if delete:
        withdrawal.delete(today, print)


SUBJECTS = (
    Argument("dataset", "folder or s3:// address of a dataset, above its releases/"),
    Argument("person", "what the source calls the person"),
)
OPTIONS = (
    option("--source", "config whose source has the person, to follow it to networks", "CONFIG"),
    Argument("--networks", "where checkpoints lie", dict(metavar="FOLDER", nargs="+", default=[])),
    option("--version", "what the successor is called; else the next free number", "VERSION"),
    flag("--partial", "leave out what the key of pseudonyms does not open, and may hold them"),
    flag("--delete", "delete what is withdrawn, after a list and a confirmation"),
    flag("--yes", "delete without asking"),
    DRY_RUN,
)
JOB = Job(__doc__, forget, subjects=SUBJECTS, load=None, at_address=True, options=OPTIONS)

if __name__ == "__main__":
    JOB.main()
