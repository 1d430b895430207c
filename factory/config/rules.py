"""Rules of a config beyond its types: ranges, names, and what sections ask of each other.

Every violation is a ConfigError of one line: dotted key, what it got, what it wants.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from factory.config.addresses import check_path
from factory.config.editing import KINDS, SPARING, RegionsConfig
from factory.config.identification import check_identification
from factory.config.mixing import check_mix
from factory.config.pairs import check_benchmark_release
from factory.config.render_rules import check_rendered_release, check_rendering
from factory.config.sampler_rules import check_sampler
from factory.config.similarity_rules import check_inquiry_copies, check_similarity_label
from factory.config.source_rules import check_benchmarks, check_reference_sets, check_source
from factory.config.store_rules import check_store
from factory.config.types import range_in_words
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.cluster import EstimateConfig, FleetConfig
    from factory.config.models import RecognizerConfig
    from factory.config.release import IdentitiesConfig, ReleaseConfig
    from factory.config.schema import Config
    from factory.config.training import ComputeConfig


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that does not hold."""
    check_ranges(config)
    _check_names(config.release)
    check_store(config.store)
    check_source(config.source, "source")
    for index, mixed in enumerate(config.batches.mix):
        check_source(mixed.source, f"batches.mix[{index}].source")
    check_benchmarks(config.utility.benchmarks)
    check_reference_sets(config.features.reference_sets, config.source.image_px)
    check_identification(config.identification, config.source.kind)
    _check_fleet(config.fleet, config.estimate)
    _check_ranks(config.compute)
    _check_identities(config)
    _check_shortfall(config)
    check_sampler(config)
    for section in ("editing", "inpainting_training"):
        _check_regions(section, getattr(config, section), config.source.detector)
    _check_fractions(config)
    METHOD_RULES[config.release.method](config)
    check_benchmark_release(config)
    _check_networks(config)


def _check_identities(config: Config) -> None:
    identities = config.identities
    if config.plan.fill_to and not config.release.allow_real:
        raise ConfigError(
            f"plan.fill_to: got {config.plan.fill_to} while release.allow_real is false; "
            "images of real people need release.allow_real=true"
        )
    if (identities.proposal == "inquiry") != (identities.inquiry is not None):
        raise ConfigError(
            f"identities.inquiry: got {identities.inquiry!r} with identities.proposal="
            f"{identities.proposal}; want faces for inquiry, and for nothing else"
        )
    check_inquiry_copies(config)
    check_rendering(config)
    _check_quotas(identities)
    check_mix(config)
    if identities.extends is not None:
        check_version("identities.extends", identities.extends)
    if identities.extends == config.release.version:
        raise ConfigError(
            f"identities.extends: got {identities.extends!r}, this release's own version; "
            "want an earlier one"
        )


def _check_networks(config: Config) -> None:
    for key in ("generator", "inpainting_training"):
        betas = getattr(config, key).betas
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(
                f"{key}.betas: got [{betas[0]:g}, {betas[1]:g}]; want two numbers from 0 to below "
                "1, as in [0.9, 0.999]"
            )
    augment = config.recognizer.augment
    if augment.erase and augment.erase_least > augment.erase:
        raise ConfigError(
            f"recognizer.augment.erase_least: got {augment.erase_least:g} with erase="
            f"{augment.erase:g}; want at most that"
        )
    if config.recognizer.virtual_per_step != "batch" and not config.recognizer.num_virtual:
        raise ConfigError(
            f"recognizer.virtual_per_step: got {config.recognizer.virtual_per_step!r} with "
            "recognizer.num_virtual=0; want some virtual prototypes, or 'batch'"
        )
    _check_virtual(config.recognizer)
    if any(width <= 0 or width % 32 for width in config.base_training.widths):
        raise ConfigError(
            f"base_training.widths: got {list(config.base_training.widths)}; want multiples of 32"
        )
    if config.base_training.text_width % 32:
        raise ConfigError(
            f"base_training.text_width: got {config.base_training.text_width}; want a multiple of "
            "32"
        )
    widths = config.autoencoder.widths
    if not widths or any(width <= 0 or width % 16 for width in widths):
        raise ConfigError(
            f"autoencoder.widths: got {list(widths)}; want one or more multiples of 16"
        )
    if config.autoencoder.freeze_encoder and not config.autoencoder.init_from:
        raise ConfigError(
            "autoencoder.freeze_encoder: got true without autoencoder.init_from; want an "
            "autoencoder to begin with, or false"
        )
    _check_adversarial(config)
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
    if config.generator.reset_identity_layers and not config.generator.init_from:
        raise ConfigError(
            "generator.reset_identity_layers: got true without generator.init_from; want a "
            "generator to begin with, or false"
        )
    _check_augmented_copies(config)
    check_similarity_label(config)


def _check_adversarial(config: Config) -> None:
    recipe = config.autoencoder
    if recipe.adversarial_epochs and not (recipe.epochs or recipe.init_from):
        raise ConfigError(
            f"autoencoder.adversarial_epochs: got {recipe.adversarial_epochs:g} with "
            "autoencoder.epochs=0 and no autoencoder.init_from; want an autoencoder to begin with, "
            "or epochs above 0"
        )
    if recipe.adversarial_epochs and config.compute.zero_stage == 3:
        raise ConfigError(
            f"autoencoder.adversarial_epochs: got {recipe.adversarial_epochs:g} with "
            "compute.zero_stage=3, which cuts the last layer over the ranks; want at most 2"
        )


def _check_virtual(recognizer: RecognizerConfig) -> None:
    """Raise ConfigError for what is asked of virtual prototypes where there are none."""
    asked = {
        "covariance_weight": recognizer.covariance_weight,
        "prototypes.steps": recognizer.prototypes.steps,
    }
    for key, value in asked.items():
        if value and not recognizer.num_virtual:
            raise ConfigError(
                f"recognizer.{key}: got {value:g} with recognizer.num_virtual=0; want some virtual "
                f"prototypes, or {key.rpartition('.')[2]}=0"
            )


def _check_augmented_copies(config: Config) -> None:
    copies, generator = config.generator.augmented_copies, config.generator
    augment = config.recognizer.augment
    if copies and augment.crop == 1 and not (augment.erase or augment.jitter):
        raise ConfigError(
            f"generator.augmented_copies: got {copies} while recognizer.augment changes nothing; "
            "want recognizer.augment.jitter=0.05, say, or generator.augmented_copies=0"
        )
    if copies and generator.condition != "image":
        raise ConfigError(
            f"generator.augmented_copies: got {copies} with generator.condition="
            f"{generator.condition}; want generator.condition=image, or 0"
        )
    if copies and generator.pose and augment.crop < 1:
        raise ConfigError(
            f"generator.augmented_copies: got {copies} with generator.pose and "
            f"recognizer.augment.crop={augment.crop:g}, which moves the five points; want crop=1"
        )


def _check_diffusion(config: Config) -> None:
    """People are drawn from embeddings, so somebody must be wanted and nothing is edited."""
    _want_somebody(config)
    _refuse_edit_filters(config)
    if config.filters.spare_real_people and config.plan.fill_to:
        raise ConfigError(
            f"filters.spare_real_people: got true with plan.fill_to={config.plan.fill_to}, which "
            "draws people of the source; want false, or plan.fill_to=0"
        )


def _check_lora(config: Config) -> None:
    """A set of LoRAs draws the source's people and nobody else, as diffusers' samplers can."""
    loras = config.personalization.loras
    if not loras:
        raise ConfigError(
            "personalization.loras: nothing given with release.method=lora; want the name of a "
            "set that jobs.personalize has made"
        )
    _check_name("personalization.loras", loras)
    _refuse_filled_in(config, DRAWN_FROM_EMBEDDINGS + OWN_SAMPLERS + PROPOSED + OF_NOBODY_REAL)
    _want_somebody(config)
    _refuse_edit_filters(config)
    _want_micro_batch(config, "a number, best a divisor of the images of each person")


def _check_edit(config: Config) -> None:
    """Nobody is proposed, and samplers do what the editing method can."""
    method = config.editing.method
    keys = DRAWN_FROM_EMBEDDINGS + PROPOSED + OF_OTHER_PEOPLE + OF_NOBODY_REAL
    _refuse_filled_in(config, keys + (OWN_SAMPLERS if method == "controlnet" else ()))
    if method in ("uvit", "controlnet") and not config.editing.checkpoint:
        raise ConfigError(
            f"editing.checkpoint: nothing given for editing.method={method}; want the folder that "
            "jobs.train_inpainting or jobs.train_controlnet wrote"
        )
    _want_micro_batch(config, "a number")
    if method == "classic" and config.filters.min_visible_cosine is not None:
        raise ConfigError(
            f"filters.min_visible_cosine: got {config.filters.min_visible_cosine} with "
            "editing.method=classic, which has no regions; want null"
        )


def _check_render(config: Config) -> None:
    """People come from their numbers: no network is asked for, and nobody is in a source."""
    _want_somebody(config)
    _refuse_edit_filters(config)
    _refuse_filled_in(config, DRAWN_FROM_EMBEDDINGS + OF_OTHER_PEOPLE, BY_NUMBER)
    _want_micro_batch(config, "a number, best a divisor of the images of each person")
    check_rendered_release(config)


METHOD_RULES = {
    "diffusion": _check_diffusion,
    "lora": _check_lora,
    "edit": _check_edit,
    "render": _check_render,
}
"""Rules of each release.method."""
DRAWN_FROM_EMBEDDINGS: tuple[tuple[str, Any], ...] = (
    ("sampler.negative_condition", "none"),
    ("sampler.negative_ramp", (1.0, 1.0)),
    ("sampler.perturb_identity", False),
    ("sampler.similarity", ()),
    ("sampler.yaw", ()),
    ("sampler.pitch", ()),
)
"""Keys, and their values in a release whose people are not drawn from embeddings."""
OWN_SAMPLERS: tuple[tuple[str, Any], ...] = (
    ("sampler.timestep_spacing", "trailing"),
    ("sampler.guidance_interval", (0.0, 1.0)),
)
"""Settings that our samplers have and those of diffusers have not."""
PROPOSED: tuple[tuple[str, Any], ...] = (("identities.num_virtual", 0),)
OF_NOBODY_REAL: tuple[tuple[str, Any], ...] = (("filters.spare_real_people", False),)
"""Settings of a release that nobody of the source is in."""
OF_OTHER_PEOPLE: tuple[tuple[str, Any], ...] = (
    ("plan.fill_to", 0),
    ("identities.gallery", None),
    ("identities.attributes", None),
    ("identities.extends", None),
)
"""Settings for people who are drawn, not for photographs that are edited."""


OF_THE_SOURCE = "makes faces of the source's people alone"
BY_NUMBER = "renders people by their numbers"


def _refuse_filled_in(
    config: Config, wanted: tuple[tuple[str, Any], ...], because: str = OF_THE_SOURCE
) -> None:
    """Raise ConfigError for a key that has another value than the method allows."""
    for key, value in wanted:
        section, _, name = key.partition(".")
        got = getattr(getattr(config, section), name)
        if (tuple(got) if isinstance(got, list | tuple) else got) != value:
            raise ConfigError(
                f"{key}: got {got!r} with release.method={config.release.method}, which {because}; "
                f"want {value!r}"
            )


def _want_somebody(config: Config) -> None:
    if config.identities.num_virtual == 0 and not config.plan.fill_to:
        raise ConfigError(
            "identities.num_virtual: got 0 and plan.fill_to is 0, so nobody would exist; "
            "want at least one of them positive"
        )


def _refuse_edit_filters(config: Config) -> None:
    for name in ("min_original_cosine", "min_visible_cosine"):
        if getattr(config.filters, name) is not None:
            raise ConfigError(
                f"filters.{name}: got {getattr(config.filters, name)} with release.method="
                f"{config.release.method}, where there is no original; want null, or "
                "release.method=edit"
            )


def _check_shortfall(config: Config) -> None:
    """What plan.min_images asks for can be kept."""
    plan, method = config.plan, config.release.method
    if plan.on_shortfall == "keep" and plan.min_images > 1:
        raise ConfigError(
            f"plan.min_images: got {plan.min_images} with plan.on_shortfall=keep, which keeps "
            "everybody; want plan.on_shortfall=drop, replace or fail"
        )
    if plan.on_shortfall == "replace" and (method in ("lora", "edit") or plan.fill_to):
        of_source = method in ("lora", "edit")
        of = f"release.method={method}" if of_source else f"plan.fill_to={plan.fill_to}"
        raise ConfigError(
            f"plan.on_shortfall: got replace with {of}; nobody can replace a person of the source, "
            "want keep, drop or fail"
        )
    limits = {"plan.fill_to": plan.fill_to if method != "edit" else 0}
    if config.identities.num_virtual and method in ("diffusion", "render"):
        limits["plan.images_per_identity"] = plan.images_per_identity
    for key, limit in limits.items():
        if limit and plan.min_images > limit:
            raise ConfigError(
                f"plan.min_images: got {plan.min_images}, more than {key}={limit}; nobody would "
                "have enough, want at most as many"
            )


def _want_micro_batch(config: Config, wanted: str) -> None:
    if config.plan.micro_batch is None:
        raise ConfigError(
            f"plan.micro_batch: got null with release.method={config.release.method}; want {wanted}"
        )


def _check_fractions(config: Config) -> None:
    """Some of the kinds can hide each of the fractions asked for."""
    fractions = config.editing.occluded_fractions
    wrong = [fraction for fraction in fractions if not 0 <= fraction <= 0.9]
    if wrong or not fractions:
        raise ConfigError(
            f"editing.occluded_fractions: got {wrong[0] if wrong else 'none'}; want fractions of "
            "the face from 0 to .9, because an edit that hides all of a face leaves nobody"
        )
    for fraction in fractions:
        able = SPARING if fraction == 0 else tuple(k for k in KINDS if k != "background")
        if not set(able) & set(config.editing.kinds):
            raise ConfigError(
                f"editing.occluded_fractions: got {fraction:g} with editing.kinds="
                f"{list(config.editing.kinds)}, none of which can; want one of {', '.join(able)}"
            )


def _check_regions(section: str, regions: RegionsConfig, detector: str | None) -> None:
    unknown = [kind for kind in regions.kinds if kind not in KINDS]
    if unknown or not regions.kinds:
        got = repr(unknown[0]) if unknown else "none"
        raise ConfigError(f"{section}.kinds: got {got}; want some of {', '.join(KINDS)}")
    if regions.points == "detector" and not detector:
        raise ConfigError(
            f"source.detector: got null while {section}.points=detector; want starter, or the path "
            "of a YuNet .onnx"
        )
    if regions.grounding and regions.segmenter != "sam":
        raise ConfigError(
            f"{section}.grounding: got {regions.grounding} with {section}.segmenter="
            f"{regions.segmenter}, which asks about no boxes; want null, or sam"
        )
    if regions.segmenter != "landmarks" and not regions.segmenter_path:
        raise ConfigError(
            f"{section}.segmenter_path: nothing given for {section}.segmenter="
            f"{regions.segmenter}; want the network"
        )


def _check_fleet(fleet: FleetConfig, estimate: EstimateConfig) -> None:
    if fleet.max_cost is not None and not estimate.actor_hour:
        raise ConfigError(
            f"fleet.max_cost: got {fleet.max_cost:g} without a price; want estimate.actor_hour"
        )
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


def _check_ranks(compute: ComputeConfig) -> None:
    if compute.min_ranks and compute.min_ranks > (compute.num_ranks or 0):
        raise ConfigError(
            f"compute.min_ranks: got {compute.min_ranks} with compute.num_ranks="
            f"{compute.num_ranks or 'null'}; want at most as many, or null"
        )


def _check_name(key: str, name: str) -> None:
    if not name or any(not (c.isascii() and (c.isalnum() or c in "-_")) for c in name):
        raise ConfigError(f"{key}: got {name!r}; want ASCII letters, digits and - _")


def check_version(key: str, version: str) -> None:
    """Raise ConfigError for a version that cannot be a folder's name."""
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
            f"identities.quotas: got fractions that add up to {total:g}; want fractions "
            "of at least 0 that add up to 1"
        )


def check_ranges(section: Any, prefix: str = "") -> None:
    """Raise ConfigError for the first value out of its range, or address that is none."""
    for item in dataclasses.fields(section):
        value, name = getattr(section, item.name), prefix + item.name
        if dataclasses.is_dataclass(value):
            check_ranges(value, name + ".")
        elif isinstance(value, list):
            for index, part in enumerate(value):
                check_ranges(part, f"{name}[{index}].")
        elif item.metadata.get("path") and value is not None:
            for path in value if isinstance(value, tuple) else (value,):
                check_path(name, path, only_local=item.metadata["only_local"])
        elif "low" in item.metadata and value is not None:
            low, high = item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:  # also refuses NaN
                raise ConfigError(f"{name}: got {value}; want {range_in_words(item.metadata)}")


def _check_names(release: ReleaseConfig) -> None:
    _check_name("release.dataset", release.dataset)
    check_version("release.version", release.version)
