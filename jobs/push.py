"""Push a sealed release to a dataset repository of the Hugging Face hub.

    python -m jobs.push runs/releases/demo/releases/0.1.0 owner/name --dry-run
    python -m jobs.push runs/releases/demo/releases/0.1.0 owner/name
    python -m jobs.push s3://bucket/prefix/demo/releases/0.1.0 owner/name --public --revision v1

One commit holds all of it, named by a tag, which is the version unless --revision says another.
A new repository is private without --public. The same command goes on where it stopped, and does
nothing where the tag holds this release. The token is that of HF_TOKEN, or of `hf auth login`.
"""

from __future__ import annotations

from jobs._arguments import RELEASE_ADDRESS, Argument, flag, option
from jobs._job import DRY_RUN, Job


def push(
    *, release: str, repo: str, store: list[str], revision: str | None, public: bool,
    real_people: bool, unpublished: bool, dry_run: bool,
) -> None:  # fmt: skip
    from factory.shards.push import Wishes
    from factory.shards.push import push as push_release
    from factory.store import open_url

    wishes = Wishes(
        repo,
        revision=revision,
        public=public,
        real_people=real_people,
        unpublished=unpublished,
        dry_run=dry_run,
    )
    push_release(open_url(release, store), wishes)


REPO = Argument("repo", "owner/name of a dataset on the hub, which is made unless it is there")
OPTIONS = (
    flag("--public", "make a new repository public, which everybody sees"),
    option("--revision", "tag of the commit; else the version of the release", "TAG"),
    flag("--real-people", "push a release that people who exist may be in"),
    flag("--unpublished", "push a release that is sealed and not published"),
    DRY_RUN,
)
SUBJECTS = (RELEASE_ADDRESS, REPO)
JOB = Job(__doc__, push, subjects=SUBJECTS, load=None, at_address=True, options=OPTIONS)

if __name__ == "__main__":
    JOB.main()
