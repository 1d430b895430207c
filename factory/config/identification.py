"""How jobs.identify searches for one face among many: who is enrolled, and who is searched for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob
from factory.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class IdentificationConfig:
    """A gallery of enrolled people, and probes that are searched for in it (METHODS 7).

    Probes are of source; those of people who are not enrolled are the non-mated searches.
    """

    protocol: Literal["made", "table", "folders", "tinyface"] = "made"
    """made: of the people of source, drawn by the seed; table: as identification.table says of
    source's images; folders: identification.gallery is enrolled, and all of source is searched for,
    where people of one name are the same; tinyface: source is a folder or tar with Gallery_Match,
    Gallery_Distractor and Probe, in which images are named PERSON_NUMBER (source.kind=folder)."""
    table: str | None = file_path()
    """For table: CSV with columns key, role (gallery or probe) and, where several images are one
    template, template; the images of a template are averaged, a row without one is a template."""
    gallery: str | None = file_path(images=True)
    """For folders: the enrolled people."""
    gallery_kind: (
        Literal["folder", "webdataset", "recordio", "lmdb", "cvlface", "parquet"] | None
    ) = None
    """Kind of that source; None: source.kind."""
    nonmated_fraction: float = knob(0.3, low=0.0, high=0.95)
    """For made: fraction of the people who are searched for and not enrolled; of each of the others
    one image is enrolled, and all further ones are searched for."""
    seed: int = knob(0, low=0)
    """For made: who is not enrolled, and which image of the others is; also the resampling of
    people."""
    templates: Literal["image", "person"] = "image"
    """Entries of the gallery: every image one, or one a person, the average of all images. A table
    with templates says so itself."""
    max_rank: int | None = knob(None, low=1)
    """Candidates that a search returns at most: FNIR at FPIR counts a mate behind them as missed.
    None: all above the threshold."""
    ranks: tuple[int, ...] = (1, 5, 10, 20)
    """Ranks k whose identification rates are given with intervals, 1 at least."""
    fpirs: tuple[float, ...] = (0.1, 0.01, 0.001)
    """False positive identification rates at which FNIR is given, above 0 and below 1; one that
    fewer than 10 non-mated searches would decide is left out, with the reason."""


def check_identification(section: IdentificationConfig, source_kind: str) -> None:
    """Raise ConfigError where the fields do not go together."""
    for name, protocol in (("table", "table"), ("gallery", "folders")):
        value, is_asked = getattr(section, name), section.protocol == protocol
        if bool(value) != is_asked:
            raise ConfigError(
                f"identification.{name}: got {value!r} with identification.protocol="
                f"{section.protocol}; want one for identification.protocol={protocol}, and for "
                "no other"
            )
    if section.protocol == "tinyface" and source_kind != "folder":
        raise ConfigError(
            f"identification.protocol: got tinyface with source.kind={source_kind}; want "
            "source.kind=folder, and in source.path the folder (or tar) with Gallery_Match, "
            "Gallery_Distractor and Probe"
        )
    if not section.ranks or min(section.ranks) < 1:
        raise ConfigError(
            f"identification.ranks: got {list(section.ranks)}; want ranks of 1 at least"
        )
    if not all(0 < rate < 1 for rate in section.fpirs):
        raise ConfigError(
            f"identification.fpirs: got {list(section.fpirs)}; want rates above 0 and below 1"
        )
