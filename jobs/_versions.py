"""Jobs that make a version of a dataset out of those it has: RELEASE ... --as VERSION."""

from __future__ import annotations

from jobs._arguments import Argument

AS_VERSION = Argument(
    "--as", "version to write", {"metavar": "VERSION", "dest": "new_version", "default": None}
)


def dataset_and_version(release: str, new_version: str | None) -> tuple[str, str]:
    """(address of the dataset, version) of a release that another is made of.

    Raises ConfigError where the address is not that of a release, or no version may be so called.
    """
    from factory.config.rules import check_version
    from factory.errors import ConfigError

    if new_version is None:
        raise ConfigError("--as: nothing given; want the version to write")
    check_version("--as", new_version)
    dataset, folder, version = release.rstrip("/").rpartition("/releases/")
    if not folder or not version.strip(".") or version == new_version:
        raise ConfigError(
            f"release: got {release!r} with --as {new_version}; want DATASET/releases/VERSION, and "
            "another version to write"
        )
    return dataset, version
