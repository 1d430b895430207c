"""Which sets of pairs jobs.benchmark measures a recognizer on, and where published rows lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """The table of accuracies that papers print: pairs by name, and what others reached."""

    folder: str = file_path("benchmarks", only_local=True)
    """Folder that the files of `sets` lie in; a set with an absolute path lies elsewhere."""
    sets: dict[str, str] = field(default_factory=dict)
    """Pairs by the name that the table gives them: insightface's .bin, or LFW's pairs.txt over the
    images of `source`. One that is missing is a missing cell."""
    published: str | None = file_path(None, only_local=True)
    """YAML of published rows in the form of the package's; None: the package's."""
    seed: int = knob(0, low=0)
    """Decides the resampling of people, by which intervals are made."""
    out: str = file_path("runs/benchmark", only_local=True)
    """Folder of benchmark.json."""
