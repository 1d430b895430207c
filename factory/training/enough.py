"""How many people and images each method needs, and whether a source has them.

Thresholds are the smallest sets that a method was seen to work with, here or in its paper; below
them it may end in noise, and a training says so before it begins. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A way to make something, and the smallest source that it was seen to work with."""

    name: str
    recipe: str
    """Config file that does it."""
    min_people: int
    min_images: int
    min_images_a_person: int
    instead: str
    """What to do with less."""
    source: str
    """Where the threshold comes from."""


STARTER = "configs/pipeline/mini.yaml on the first starter people, 240 x 10 of them trained on"
LONDON = (
    "London set, 2 photographs each of 102 people or of those not held out: AUC .987 to .989 "
    "between people by dlib after 400 steps on an H100, factory/diffusion/README.md"
)
FROM_STARTER = "configs/photographs.yaml begins with the package's weights"
METHODS = {
    "recognizer": Method(
        *("a recognizer from nothing", "configs/recognizer/mini.yaml", 200, 2000, 2),
        "mix the starter people in (batches.mix), as configs/photographs.yaml does",
        STARTER,
    ),
    "autoencoder": Method(
        *("an autoencoder from nothing", "configs/autoencoder/mini.yaml", 1, 2000, 1),
        f"autoencoder.init_from=starter:autoencoder; {FROM_STARTER}",
        f"{STARTER}; of 204 photographs it ends at 14.4 dB",
    ),
    "generator": Method(
        *("a generator from nothing", "configs/generator/mini.yaml", 200, 2000, 1),
        f"generator.init_from=starter:generator; {FROM_STARTER}",
        f"{STARTER}; of 204 photographs 5 % of the faces are kept",
    ),
    "finetuned_autoencoder": Method(
        *("a finetuned autoencoder", "configs/photographs.yaml", 1, 160, 1),
        "gather more images, or take the package's as it is: autoencoder.checkpoint="
        "starter:autoencoder for jobs, or in a copy of the pipeline without this stage",
        LONDON,
    ),
    "finetuned_generator": Method(
        *("a generator that begins with the package's", "configs/photographs.yaml", 80, 160, 1),
        "gather more people: faces of fewer come out alike",
        LONDON,
    ),
    "lora": Method(
        *("one LoRA a person", "configs/personalization/sd21.yaml", 1, 3, 3),
        "draw people by configs/photographs.yaml",
        "DreamBooth (Ruiz et al. 2023): 3 to 5 images of a subject",
    ),
    "vigface": Method(
        *("VIGFace as published", "configs/generator/vigface.yaml", 10_000, 400_000, 2),
        "a smaller recipe, configs/generator/mini.yaml or configs/photographs.yaml",
        "Kim et al. 2024 train on CASIA-WebFace, 10,575 people and 490,623 images",
    ),
}
"""By key, smallest sources last."""


@dataclass(frozen=True)
class Fit:
    """Whether a source is large enough for a method."""

    method: Method
    num_people: int
    num_images: int

    @property
    def is_enough(self) -> bool:
        """Whether people, images and images a person all reach the method's least."""
        return not self.missing

    @property
    def missing(self) -> str:
        """What there is too little of, with both figures; empty where there is enough."""
        method, mean = self.method, self.num_images / max(self.num_people, 1)
        wanted = (
            (self.num_people, method.min_people, "people"),
            (self.num_images, method.min_images, "images"),
            (mean, method.min_images_a_person, "images a person"),
        )
        return " and ".join(
            f"{got:g} {what} where {least} are the fewest"
            for got, least, what in wanted
            if got < least
        )

    @property
    def line(self) -> str:
        """A warning, or that it fits."""
        if self.is_enough:
            return f"{self.method.name}: enough people and images"
        return (
            f"warning: {self.missing} that {self.method.name} was seen to work with "
            f"({self.method.source}); {self.method.instead}"
        )


def fits(num_people: int, num_images: int) -> list[Fit]:
    """Every method with whether a source of so many people and images is large enough for it."""
    return [Fit(method, num_people, num_images) for method in METHODS.values()]


def warnings_of(key: str, num_people: int, num_images: int) -> list[str]:
    """A line where a source is too small for the method of this key; else none."""
    fit = Fit(METHODS[key], num_people, num_images)
    return [] if fit.is_enough else [fit.line]


def method_of(section: str, init_from: str | None) -> str:
    """Key of what a training of a section does, from nothing or from other weights."""
    return f"finetuned_{section}" if init_from else section
