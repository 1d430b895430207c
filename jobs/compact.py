"""Write the images of a sealed version again, in fewer shards or in more.

    python -m jobs.compact runs/releases/demo/releases/0.1.0 --as 0.1.1 --identities-per-unit 1000
    python -m jobs.compact s3://bucket/prefix/demo/releases/1.0.0 --as 1.0.1 --shard-bytes 1e9

Labels, keys and bytes of images stay. What is written needs no other version, so a union becomes a
release that stands alone. The same command goes on where it stopped.
"""

from __future__ import annotations

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job
from jobs._versions import AS_VERSION, dataset_and_version


def compact(
    release: str,
    store: list[str],
    new_version: str | None,
    identities_per_unit: int | None,
    shard_bytes: float | None,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from factory.shards.compact import Cut
    from factory.shards.compact import compact as write_compact
    from factory.store import open_url

    url, version = dataset_and_version(release, new_version)
    cut = Cut(identities_per_unit, shard_bytes)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("writing", total=None)
        manifest = write_compact(
            *(open_url(url, store), version, str(new_version), cut),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(
        f"{url}/releases/{new_version}: sealed, {manifest.counts.kept} images in "
        f"{len(manifest.shards)} shards"
    )


PEOPLE = option("--identities-per-unit", "identities in a shard", "COUNT", int)
BYTES = option("--shard-bytes", "bytes that no shard of two identities exceeds", "BYTES", float)
JOB = Job(
    __doc__,
    compact,
    subjects=(RELEASE_ADDRESS,),
    load=None,
    at_address=True,
    options=(PEOPLE, BYTES, AS_VERSION),
)

if __name__ == "__main__":
    JOB.main()
