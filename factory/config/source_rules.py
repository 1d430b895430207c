"""What the fields of a source ask of each other, wherever a config holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config.addresses import check_address, check_hub_address, looks_like_a_bucket
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.data import SourceConfig

WITHOUT_PATH = ("starter", "rendered")
"""Kinds of a source that lie nowhere."""


def check_source(source: SourceConfig, key: str) -> None:
    """Raise ConfigError where a source's fields do not go together; `key` is what holds it."""
    if source.kind in WITHOUT_PATH and source.path:
        raise ConfigError(
            f"{key}.path: got {source.path!r} with {key}.kind={source.kind}, which takes none; set "
            f"{key}.kind=folder or {key}.kind=webdataset"
        )
    if source.kind == "rendered" and source.num_identities is None:
        raise ConfigError(
            f"{key}.num_identities: nothing given for {key}.kind=rendered, which has no last one; "
            f"want how many, as in {key}.num_identities=200"
        )
    if source.kind not in WITHOUT_PATH and not source.path:
        raise ConfigError(
            f"{key}.path: nothing given for {key}.kind={source.kind}; want a folder, tar, release, "
            f".rec or .lmdb; set {key}.path=..."
        )
    addresses = {"path": source.path, "heldout": source.heldout}
    for name, address in addresses.items():
        kind = source.heldout_kind or source.kind if name == "heldout" else source.kind
        if address and address.startswith("hf:"):
            check_hub_address(f"{key}.{name}", address)
            if kind != "parquet":
                raise ConfigError(
                    f"{key}.{name}: got {address!r} with kind {kind}; want kind parquet"
                )
        if not address or not looks_like_a_bucket(address):
            continue
        check_address(f"{key}.{name}", address, source.store.endpoint_url)
        if kind != "webdataset":
            raise ConfigError(
                f"{key}.{name}: got {address!r} with kind {kind}; want kind webdataset, as only "
                "releases and other WebDataset tars are read in a bucket"
            )
    if source.kind in WITHOUT_PATH and source.heldout:
        raise ConfigError(
            f"{key}.heldout: got {source.heldout!r} with {key}.kind={source.kind}; use "
            f"{key}.holdout_identities, or another {key}.kind"
        )
    if source.holdout_identities == 1:
        raise ConfigError(
            f"{key}.holdout_identities: got 1; want 0 or at least 2, for impostor pairs"
        )
    if source.holdout_identities and source.holdout_fraction:
        raise ConfigError(
            f"{key}.holdout_fraction: got {source.holdout_fraction:g} with {key}."
            f"holdout_identities={source.holdout_identities}; want one of them, the other 0"
        )


def check_benchmarks(benchmarks: list[SourceConfig]) -> None:
    """Raise ConfigError for benchmarks without pairs, or two of one name."""
    names = []
    for index, benchmark in enumerate(benchmarks):
        key = f"utility.benchmarks[{index}]"
        if not benchmark.pairs:
            raise ConfigError(f"{key}.pairs: nothing given; want LFW's pairs.txt or a .bin")
        if not benchmark.pairs.endswith(".bin"):
            check_source(benchmark, key)
        if benchmark.name in names:
            raise ConfigError(
                f"{key}.pairs: two benchmarks are called {benchmark.name!r}; want one"
            )
        names.append(benchmark.name)


def check_reference_sets(sets: list[SourceConfig], image_px: int) -> None:
    """Raise ConfigError for sets of another size than the source's, or two of one name."""
    taken = ["source", "release"]
    for index, reference in enumerate(sets):
        key = f"features.reference_sets[{index}]"
        check_source(reference, key)
        if reference.image_px != image_px:
            raise ConfigError(
                f"{key}.image_px: got {reference.image_px}; want source.image_px={image_px}"
            )
        if reference.stem in taken:
            raise ConfigError(
                f"{key}.path: another set is called {reference.stem!r} already; want another "
                "file name"
            )
        taken.append(reference.stem)
