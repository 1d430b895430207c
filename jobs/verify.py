"""Re-read every byte of a sealed release against its digests.

    python -m jobs.verify runs/releases/demo/releases/0.1.0
    python -m jobs.verify s3://bucket/prefix/demo/releases/0.1.0 store.endpoint_url=http://...
    python -m jobs.verify s3://bucket/prefix/demo/releases/0.1.0 --fleet
    python -m jobs.verify runs/releases/demo/releases/0.1.0 --signer key.pub

It exits with 1 and names the files that are wrong. With --signer it also wants a signature over
SHA256SUMS by one of these keys (jobs.sign).
"""

from __future__ import annotations

import sys
from pathlib import Path

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job
from jobs._runners import FLEET, on_fleet


def verify(release: str, store: list[str], fleet: bool, signer: str | None) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.signature import check_signature, read_signers, signer_of
    from factory.shards.verify import verify as verify_release
    from factory.store import open_url

    signers = read_signers(Path(signer).expanduser()) if signer else {}
    opened = open_url(release, store)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        problems = verify_release(
            opened,
            lambda done, total: bar.update(task, completed=done, total=total),
            **on_fleet(release, store, fleet),
        )
    problems += check_signature(opened, signers) if signer else []
    for problem in problems:
        print("wrong:", problem)
    if problems:
        sys.exit(f"error: {release} is not what was published ({len(problems)} problems)")
    print(f"{release}: all files have their sha256, the release is whole")
    if by := signer_of(opened):
        print(f"signed by {by}" + ("" if signer else "; --signer FILE checks that it is"))


SIGNER = option("--signer", "public key, or OpenSSH's file of allowed signers", "FILE")
OPTIONS = (FLEET, SIGNER)
JOB = Job(__doc__, verify, subjects=(RELEASE_ADDRESS,), load=None, at_address=True, options=OPTIONS)

if __name__ == "__main__":
    JOB.main()
