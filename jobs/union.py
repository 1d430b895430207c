"""Write a sealed version and all that it extends as one, without copies.

    python -m jobs.union runs/releases/demo/releases/0.3.0 --as 1.0.0
    python -m jobs.union s3://bucket/prefix/demo/releases/0.3.0 --of 0.2.0,0.3.0 --as 1.0.0

Nothing is copied: labels, keys and names of shards stay, and the versions must stay where they are.
With --of it is made of those versions of the same dataset, whose labels must follow each other.
`jobs.evaluate` then measures it and writes its card; `jobs.compact` makes it stand alone.
"""

from __future__ import annotations

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job
from jobs._versions import AS_VERSION, dataset_and_version


def union(release: str, store: list[str], of: str | None, new_version: str | None) -> None:
    from factory.config.rules import check_version
    from factory.shards.union import chain_of, write_union
    from factory.store import open_url

    url, version = dataset_and_version(release, new_version)
    dataset = open_url(url, store)
    versions = of.split(",") if of else chain_of(dataset, version)
    for name in versions:
        check_version("--of", name)
    manifest = write_union(dataset, versions, str(new_version))
    print(
        f"{url}/releases/{new_version}: sealed, {manifest.counts.kept} images in "
        f"{len(manifest.shards)} shards of {', '.join(versions)}"
    )


OF = option("--of", "versions to join; without it RELEASE and all that it extends", "A,B")
JOB = Job(
    __doc__,
    union,
    subjects=(RELEASE_ADDRESS,),
    load=None,
    at_address=True,
    options=(OF, AS_VERSION),
)

if __name__ == "__main__":
    JOB.main()
