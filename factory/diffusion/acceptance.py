"""Whether networks are good enough for the stage that is to use them (config section acceptance).

The figures stand in checkpoint.json, where the training of a network put them at its end
(reconstruction.py, generator_figures.py), or jobs.measure_network later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from factory.config import AcceptanceConfig
from factory.errors import CheckpointError
from factory.store.json_text import is_no_number

REMEDY = (
    "train longer or on more faces, or begin with the networks of the package: `python -m jobs "
    "pipeline configs/photographs.yaml` does"
)


@dataclass(frozen=True)
class Limit:
    """A limit of the config, and the figure in checkpoint.json that it holds for."""

    name: str
    """Field of AcceptanceConfig, which begins with min_ or max_."""
    kind: str
    part: str | None
    """Part of the metrics that holds the figure; None: they hold it themselves."""
    figure: str
    words: str

    @property
    def key(self) -> str:
        return f"acceptance.{self.name}"

    def allows(self, value: float | str, limit: float) -> bool:
        """Whether a figure reaches the limit; NaN never does, nor a reason in place of one."""
        if isinstance(value, str):
            return False
        return value >= limit if self.name.startswith("min_") else value <= limit


LIMITS = (
    Limit("min_psnr_db", "autoencoder", None, "psnr_db", "PSNR of reconstructed faces in dB"),
    Limit(
        *("min_identity_cosine", "autoencoder", None, "identity_cosine_mean"),
        words="mean cosine of faces and their reconstructions",
    ),
    Limit(
        *("max_denoising_ratio", "generator", "validation", "ratio"),
        words="denoising error as a fraction of the best linear estimate's",
    ),
    Limit(
        *("min_found_ratio", "generator", "probe", "found_ratio"),
        words="faces found in drawn images, as a fraction of those found in real ones",
    ),
    Limit(
        *("min_own_auc", "generator", "probe", "own_auc"),
        words="AUC of drawn faces, own embedding against those of others",
    ),
    Limit(
        *("min_diversity", "generator", "probe", "diversity"),
        words="distance between drawn people, as a fraction of that between their embeddings",
    ),
)
"""In the order in which a network is judged."""
REMEDIES = {"autoencoder": REMEDY, "generator": REMEDY}


def check_accepted(
    config: AcceptanceConfig, networks: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> list[str]:
    """Raise CheckpointError for the first limit that a network misses; remarks on unmeasured ones.

    A figure that was no finite number misses its limit; one that could not be measured for another
    reason gets a remark with it. `networks` are (name in the config, checkpoint.json) by kind.
    """
    for line in shortcomings(config, networks):
        raise CheckpointError(line)
    return [
        remark
        for kind, (name, metadata) in networks.items()
        for remark in (*_remarks(config, kind, name, metadata), *_lost(kind, name, metadata))
    ]


def shortcomings(
    config: AcceptanceConfig, networks: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> Iterable[str]:
    """A line for each limit that a network misses, with figure, limit and remedy."""
    for kind, (name, metadata) in networks.items():
        for limit, part, value in _measured(kind, metadata):
            wanted = getattr(config, limit.name)
            if wanted is not None and value is not None and not limit.allows(value, wanted):
                shown = value if isinstance(value, str) else f"{value:.3g}"
                most = "at least" if limit.name.startswith("min_") else "at most"
                faces = f"{part.get('num_images', '?')} {part.get('faces', 'faces')}"
                yield (
                    f"{limit.key}: {kind}.checkpoint {name} has {shown} ({limit.words}, "
                    f"measured on {faces}); want {most} {wanted:g}: {REMEDIES[kind]}; "
                    f"{limit.key}=null goes on all the same"
                )


def _measured(
    kind: str, metadata: Mapping[str, Any]
) -> Iterable[tuple[Limit, Mapping[str, Any], float | str | None]]:
    """Limits of a kind of network, with the part of its metrics and the figure, if it has them.

    In place of one that was no finite number, for which checkpoint.json has null, is its note.
    """
    for limit in LIMITS:
        if limit.kind == kind:
            metrics = metadata["metrics"]
            part = metrics if limit.part is None else metrics.get(limit.part) or {}
            value, note = part.get(limit.figure), str(part.get(f"{limit.figure}_note", ""))
            yield limit, part, note if value is None and is_no_number(note) else value


def _lost(kind: str, name: str, metadata: Mapping[str, Any]) -> Iterable[str]:
    """What the stage that made a decoder sharp took from it (reconstruction.py:compare)."""
    for line in metadata["metrics"].get("lost", ()):
        yield (
            f"{kind}.checkpoint {name}: its adversarial stage is not accepted: {line}; the "
            "autoencoder that it began with is better there"
        )


def _remarks(
    config: AcceptanceConfig, kind: str, name: str, metadata: Mapping[str, Any]
) -> Iterable[str]:
    asked = [
        (limit, part)
        for limit, part, value in _measured(kind, metadata)
        if getattr(config, limit.name) is not None and value is None
    ]
    for limit, part in asked:
        if limit.figure in part:
            reason = part.get(f"{limit.figure}_note", "no reason is given")
            yield f"{kind}.checkpoint {name}: nothing is checked by {limit.key}: {reason}"
    missing = [limit.name for limit, part in asked if limit.figure not in part]
    if missing:
        yield (
            f"{kind}.checkpoint {name}: not measured, so nothing is checked by acceptance "
            f"({', '.join(missing)}); `python -m jobs measure_network` measures it"
        )
