"""Jobs that a pipeline runs as its stages, by name."""

from __future__ import annotations

from collections.abc import Callable

from factory.config import Config
from factory.diffusion.autoencoder import train as autoencoder
from factory.diffusion.train import train as generator
from factory.recognition.train import train as recognizer
from jobs.evaluate import evaluate
from jobs.import_recognizer import import_recognizer
from jobs.release import release
from jobs.train_autoencoder import train_autoencoder
from jobs.train_generator import train_generator
from jobs.train_recognizer import train_recognizer
from jobs.utility import utility

RUNNERS: dict[str, Callable[[Config, str], None]] = {
    "train_recognizer": lambda config, _: train_recognizer(config, False),
    "import_recognizer": lambda config, _: import_recognizer(config, False),
    "train_autoencoder": lambda config, _: train_autoencoder(config, False),
    "train_generator": lambda config, _: train_generator(config, False),
    "release": lambda config, _: release(config, False),
    "utility": lambda config, url: utility(url, config, False),
    "evaluate": lambda config, url: evaluate(url, config, False),
}
TRAININGS = {
    "train_recognizer": recognizer,
    "train_autoencoder": autoencoder,
    "train_generator": generator,
}
"""What is trained, without a job around it: its first steps are timed."""
