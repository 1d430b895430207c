"""What a config must satisfy beyond its types: ranges, names, and rules across sections.

Every violation is a ConfigError of one line: dotted key, what it got, what it wants.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from factory.config.edit_rules import check_editing, check_kinds
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.learning import SourceConfig
    from factory.config.making import FleetConfig, IdentitiesConfig, ReleaseConfig
    from factory.config.whole import Config


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that does not hold."""
    _check_ranges(config, "")
    _check_names(config.release)
    _check_source(config.source, "source")
    for place, mixed in enumerate(config.feed.mix):
        _check_source(mixed.source, f"feed.mix[{place}].source")
    _check_benchmarks(config.utility.benchmarks)
    _check_beside(config.features.beside, config.source.image_px)
    _check_fleet(config.fleet)
    if config.plan.fill_to and not config.release.allow_real:
        raise ConfigError(
            f"plan.fill_to: got {config.plan.fill_to} while release.allow_real is false; "
            "images of real people need release.allow_real=true"
        )
    if (config.identities.proposal == "inquiry") != (config.identities.inquiry is not None):
        raise ConfigError(
            f"identities.inquiry: got {config.identities.inquiry!r} with identities.proposal="
            f"{config.identities.proposal}; want faces for inquiry, and for nothing else"
        )
    _check_quotas(config.identities)
    _check_sampler(config)
    if config.booth.loras is not None:
        _check_booth(config)
    check_kinds(config)
    if config.identities.extends is not None:
        _check_version("identities.extends", config.identities.extends)
    if "://" in config.audit.vectors:
        raise ConfigError(
            f"audit.vectors: got {config.audit.vectors!r}; want a local folder, because it holds "
            "who the source's people are"
        )
    if config.identities.extends == config.release.version:
        raise ConfigError(
            f"identities.extends: got {config.identities.extends!r}, this release's own version; "
            "want an earlier one"
        )
    if config.editing.editor is not None:
        check_editing(config)
    elif config.identities.num_virtual == 0 and not config.plan.fill_to:
        raise ConfigError(
            "identities.num_virtual: got 0 and plan.fill_to is 0, so nobody would exist; "
            "want at least one of them positive"
        )
    else:
        _check_nothing_edited(config)
    _check_networks(config)


def _check_networks(config: Config) -> None:
    if config.recognizer.virtual_per_step != "batch" and not config.recognizer.num_virtual:
        raise ConfigError(
            f"recognizer.virtual_per_step: got {config.recognizer.virtual_per_step!r} with "
            "recognizer.num_virtual=0; want some virtual prototypes, or 'batch'"
        )
    if any(width <= 0 or width % 32 for width in config.text_to_image.widths):
        raise ConfigError(
            f"text_to_image.widths: got {list(config.text_to_image.widths)}; want multiples of 32"
        )
    if config.text_to_image.text_width % 32:
        raise ConfigError(
            f"text_to_image.text_width: got {config.text_to_image.text_width}; want a multiple of "
            "32"
        )
    widths = config.autoencoder.widths
    if not widths or any(width <= 0 or width % 16 for width in widths):
        raise ConfigError(
            f"autoencoder.widths: got {list(widths)}; want one or more multiples of 16"
        )
    if config.judge.checkpoint == config.recognizer.checkpoint:
        raise ConfigError(
            f"judge.checkpoint: got {config.judge.checkpoint!r}, the recognizer that conditions; "
            "want other weights, or judge.checkpoint=null"
        )
    if config.generator.depth % 2 == 0:
        raise ConfigError(
            f"generator.depth: got {config.generator.depth}; want an odd number of blocks"
        )
    if config.generator.width % config.generator.num_heads:
        raise ConfigError(
            f"generator.num_heads: got {config.generator.num_heads}; want a divisor of "
            f"generator.width={config.generator.width}"
        )
    if config.generator.renew_identity and not config.generator.start:
        raise ConfigError(
            "generator.renew_identity: got true without generator.start; want a generator to begin "
            "with, or false"
        )


def _check_sampler(config: Config) -> None:
    sampler, least = config.sampler, config.filters.min_own_cosine
    if sampler.guidance_from >= sampler.guidance_to:
        raise ConfigError(
            f"sampler.guidance_from: got {sampler.guidance_from}; want less than "
            f"sampler.guidance_to={sampler.guidance_to}"
        )
    if sampler.away != "nobody" and sampler.guidance == 1:
        raise ConfigError(
            f"sampler.away: got {sampler.away!r} with sampler.guidance=1, which guides nowhere; "
            "want a larger guidance, or 'nobody'"
        )
    if sampler.away == "itself" and not sampler.similarity:
        raise ConfigError(
            "sampler.away: got 'itself' without sampler.similarity; want similarities, which it "
            "makes an image keep, or 'nobody'"
        )
    if sampler.away == "itself" and 1 in sampler.similarity:
        raise ConfigError(
            "sampler.similarity: got 1 with sampler.away='itself', which leads away from 1; want "
            "smaller ones, or sampler.away=nobody"
        )
    wrong = [m for m in sampler.similarity if not -1 <= m <= 1]
    if wrong:
        raise ConfigError(f"sampler.similarity: got {wrong[0]}; want cosines, from -1 to 1")
    if sampler.similarity and least is not None and min(sampler.similarity) < least:
        raise ConfigError(
            f"filters.min_own_cosine: got {least} while sampler.similarity asks for "
            f"{min(sampler.similarity)}; want a smaller one, or null"
        )
    if min(sampler.similarity, default=1.0) <= 0 and config.filters.min_identity_gap is not None:
        raise ConfigError(
            f"filters.min_identity_gap: got {config.filters.min_identity_gap} while "
            f"sampler.similarity asks for {min(sampler.similarity)}, where others may be nearer; "
            "want null"
        )


def _check_booth(config: Config) -> None:
    """A set of LoRAs draws the source's people and nobody else, as diffusers' samplers can."""
    _check_name("booth.loras", str(config.booth.loras))
    sampler = config.sampler
    cannot = {
        "sampler.spacing": (sampler.spacing, "trailing"),
        "sampler.guidance_from": (sampler.guidance_from, 0.0),
        "sampler.guidance_to": (sampler.guidance_to, 1.0),
        "sampler.away": (sampler.away, "nobody"),
        "sampler.turn": (sampler.turn, False),
        "sampler.similarity": (tuple(sampler.similarity), ()),
        "sampler.yaw": (tuple(sampler.yaw), ()),
        "sampler.pitch": (tuple(sampler.pitch), ()),
        "identities.num_virtual": (config.identities.num_virtual, 0),
    }
    if config.plan.micro_batch is None:
        raise ConfigError(
            "plan.micro_batch: got null with booth.loras; want a number, best a divisor of the "
            "images of each person"
        )
    for name, (found, wanted) in cannot.items():
        if found != wanted:
            raise ConfigError(
                f"{name}: got {found!r} with booth.loras, which draws the source's people by a "
                f"text-to-image model; want {wanted!r}"
            )


def _check_nothing_edited(config: Config) -> None:
    for name in ("min_original_cosine", "min_visible_cosine"):
        if getattr(config.filters, name) is not None:
            raise ConfigError(
                f"filters.{name}: got {getattr(config.filters, name)} while editing.editor is "
                "null, so there is no original; want null, or an editor"
            )


def _check_fleet(fleet: FleetConfig) -> None:
    if fleet.autoscale and fleet.num_workers is None:
        raise ConfigError(
            "fleet.num_workers: nothing given while fleet.autoscale is true; want how many actors "
            "to ask for"
        )
    if fleet.num_workers is not None and fleet.min_workers > fleet.num_workers:
        raise ConfigError(
            f"fleet.min_workers: got {fleet.min_workers}; want at most "
            f"fleet.num_workers={fleet.num_workers}"
        )


def _check_name(key: str, name: str) -> None:
    if not name or any(not (c.isascii() and (c.isalnum() or c in "-_")) for c in name):
        raise ConfigError(f"{key}: got {name!r}; want ASCII letters, digits and - _")


def _check_version(key: str, version: str) -> None:
    plain = version.replace(".", "")
    if not plain or any(not (c.isascii() and (c.isalnum() or c in "-_")) for c in plain):
        raise ConfigError(f"{key}: got {version!r}; want ASCII letters, digits and - _ .")


def _check_quotas(identities: IdentitiesConfig) -> None:
    quotas = identities.quotas
    if not quotas:
        return
    if not identities.attributes:
        raise ConfigError(
            "identities.attributes: nothing given while identities.quotas asks for groups; want a "
            ".csv or .onnx that tells them"
        )
    total = sum(quotas.values())
    if min(quotas.values()) < 0 or not abs(total - 1) <= 1e-6:  # also refuses NaN
        raise ConfigError(
            f"identities.quotas: got shares that add up to {total:g}; want shares "
            "of at least 0 that add up to 1"
        )


def _check_source(source: SourceConfig, key: str) -> None:
    if source.kind != "starter" and not source.path:
        raise ConfigError(
            f"{key}.path: nothing given for {key}.kind={source.kind}; want a folder, tar, release "
            f"or .rec; set {key}.path=..."
        )
    if source.kind == "starter" and source.path:
        raise ConfigError(
            f"{key}.path: got {source.path!r} with {key}.kind=starter, which takes none; set "
            f"{key}.kind=folder or {key}.kind=webdataset"
        )
    if source.kind == "starter" and source.heldout:
        raise ConfigError(
            f"{key}.heldout: got {source.heldout!r} with {key}.kind=starter; use "
            f"{key}.holdout_identities, or another {key}.kind"
        )
    if source.holdout_identities == 1:
        raise ConfigError(
            f"{key}.holdout_identities: got 1; want 0 or at least 2, for impostor pairs"
        )


def _check_benchmarks(benchmarks: list[SourceConfig]) -> None:
    names = []
    for place, benchmark in enumerate(benchmarks):
        key = f"utility.benchmarks[{place}]"
        if not benchmark.pairs:
            raise ConfigError(f"{key}.pairs: nothing given; want LFW's pairs.txt or a .bin")
        if not benchmark.pairs.endswith(".bin"):
            _check_source(benchmark, key)
        if benchmark.name in names:
            raise ConfigError(
                f"{key}.pairs: two benchmarks are called {benchmark.name!r}; want one"
            )
        names.append(benchmark.name)


def _check_beside(sets: list[SourceConfig], image_px: int) -> None:
    taken = ["source", "release"]
    for place, asked in enumerate(sets):
        key = f"features.beside[{place}]"
        _check_source(asked, key)
        if asked.image_px != image_px:
            raise ConfigError(
                f"{key}.image_px: got {asked.image_px}; want source.image_px={image_px}"
            )
        if asked.stem in taken:
            raise ConfigError(
                f"{key}.path: another set is called {asked.stem!r} already; want another file name"
            )
        taken.append(asked.stem)


def _check_ranges(section: Any, prefix: str) -> None:
    for item in dataclasses.fields(section):
        value, name = getattr(section, item.name), prefix + item.name
        if dataclasses.is_dataclass(value):
            _check_ranges(value, name + ".")
        elif isinstance(value, list):
            for place, part in enumerate(value):
                _check_ranges(part, f"{name}[{place}].")
        elif "low" in item.metadata and value is not None:
            low, high = item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:  # also refuses NaN
                span = f"{low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
                raise ConfigError(f"{name}: got {value}; want {span}")


def _check_names(release: ReleaseConfig) -> None:
    _check_name("release.dataset", release.dataset)
    _check_version("release.version", release.version)
