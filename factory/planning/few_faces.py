"""What the trainings of a pipeline have too little of, said before the first of them begins."""

from __future__ import annotations

from factory.config import Config
from factory.sources import open_source
from factory.sources.base import first_heldout, subset
from factory.training.enough import method_of, warnings_of


def warnings_for(job: str, config: Config) -> list[str]:
    """Lines about a source that is too small for what a training job does; opens the source."""
    if job not in ("train_recognizer", "train_autoencoder", "train_generator"):
        return []
    num_people, num_images = _trained_on(config)
    if job == "train_recognizer":
        for mixed in config.batches.mix:
            other = open_source(mixed.source)
            num_people += 0 if mixed.same_people else len(other.names)
            num_images += len(other)
        return warnings_of("recognizer", num_people, num_images)
    section = job.removeprefix("train_")
    key = method_of(section, getattr(config, section).init_from)
    return warnings_of(key, num_people, num_images)


def _trained_on(config: Config) -> tuple[int, int]:
    """(people, images) of the source without those held out."""
    source = open_source(config.source)
    num_names = len(source.names)
    if config.source.heldout is None:
        first = first_heldout(config.source.num_heldout(num_names), num_names)
        return first, len(subset(source, 0, first))
    return num_names, len(source)
