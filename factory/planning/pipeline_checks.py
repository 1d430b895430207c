"""What can be found wrong with the stages of a pipeline before the first of them begins.

A release that is refused after the trainings were made has cost them.
"""

from __future__ import annotations

from datetime import date

from factory import checkpoint
from factory.config import Config
from factory.config.addresses import in_bucket
from factory.planning.places import check_release_places, check_training_places
from factory.provenance.consent import check_consent
from factory.provenance.faces import require_license
from factory.provenance.naming import release_naming
from factory.recognition.import_onnx import check_import
from factory.recognition.judge import describe_judge
from factory.recognition.shared_people import shared_names
from factory.sources import open_source
from factory.sources.base import first_heldout, subset
from factory.training.enough import method_of, warnings_of

TRAININGS = ("train_recognizer", "train_autoencoder", "train_generator")

NETWORKS = {
    "train_autoencoder": ("recognizer",),
    "train_generator": ("recognizer", "autoencoder"),
}
"""Networks that a training is given, by its job; it may begin with one of its own kind."""


def check_stage(job: str, config: Config, today: date | None = None) -> None:
    """Raise FactoryError in one line for what a stage lacks besides networks yet to be made.

    That is a source with a license and everybody's consent, checkpoints that no stage is to make,
    places to write to, for an import the network and its license, for a release the key of
    pseudonyms where it draws people of its source, and a judge that is installed.
    """
    require_license(config.source)
    _check_networks(job, config)
    source = open_source(config.source)
    check_consent(config.source, source.names, today or date.today())
    if job == "import_recognizer":
        check_import(config)
    if job in (*TRAININGS, "import_recognizer"):
        check_training_places(config)
    if job == "release":
        check_release_places(config)
        release_naming(config)
        describe_judge(config)


def _check_networks(job: str, config: Config) -> None:
    """Raise CheckpointError for a checkpoint that is not there and that no stage is to make.

    What lies in a bucket is not fetched before it is needed.
    """
    named = {f"{kind}.checkpoint": kind for kind in NETWORKS.get(job, ())}
    section = job.removeprefix("train_")
    if job in NETWORKS:
        named[f"{section}.init_from"] = section
    for key, kind in named.items():
        part, _, name = key.partition(".")
        value = getattr(getattr(config, part), name)
        if value and "{" not in value and not in_bucket(value):
            checkpoint.read_metadata(value, kind, key)


def warnings_for(job: str, config: Config) -> list[str]:
    """Lines about a source that is too small for what a training job does; opens the source."""
    if job not in TRAININGS:
        return []
    num_people, num_images = _trained_on(config)
    if job == "train_recognizer":
        for mixed in config.batches.mix:
            other = open_source(mixed.source)
            shared = shared_names(mixed.source, ()) if mixed.same_people else {}
            num_people += 0 if shared is None else sum(name not in shared for name in other.names)
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
