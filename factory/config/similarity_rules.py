"""Rules of CemiFace's settings: labels of similarity, and copies of inquiry images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.schema import Config


def check_similarity_label(config: Config) -> None:
    """Raise ConfigError for labels that cannot be measured, and recognizers that measure none."""
    generator, recognizers = config.generator, config.generator.similarity_recognizers
    if generator.similarity_label == "asked":
        if recognizers:
            raise ConfigError(
                f"generator.similarity_recognizers: got {list(recognizers)} with generator."
                "similarity_label=asked, which measures nothing; want none, or measured"
            )
        return
    if not generator.similarity_tokens:
        raise ConfigError(
            "generator.similarity_label: got 'measured' with generator.similarity_tokens=0, which "
            "shows the network no similarity; want tokens (4, say), or 'asked'"
        )
    if generator.condition == "image":
        raise ConfigError(
            "generator.similarity_label: got 'measured' with generator.condition=image, to whose "
            "embedding every image has cosine 1; want generator.condition=center or prototype"
        )
    names = [config.recognizer.checkpoint, *recognizers]
    twice = [name for name in recognizers if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"generator.similarity_recognizers: got {twice[0]} twice (recognizer.checkpoint "
            "measures too); want each once"
        )


def check_inquiry_copies(config: Config) -> None:
    """Raise ConfigError for copies of images that there are none of, or that leave none to draw."""
    copies, identities = config.identities.inquiry_copies, config.identities
    if copies and identities.proposal != "inquiry":
        raise ConfigError(
            f"identities.inquiry_copies: got {copies} with identities.proposal="
            f"{identities.proposal}, whose people have no image; want 0, or proposal=inquiry"
        )
    if copies and copies >= config.plan.images_per_identity:
        raise ConfigError(
            f"identities.inquiry_copies: got {copies} of plan.images_per_identity="
            f"{config.plan.images_per_identity} images, which leaves none to draw; want fewer"
        )
    if copies and config.release.method != "diffusion":
        raise ConfigError(
            f"identities.inquiry_copies: got {copies} with release.method={config.release.method}; "
            "want 0, or diffusion"
        )
