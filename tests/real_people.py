"""Releases of each method that hold real people with names, and what must not be found in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import Config, load
from factory.execution.inline import run_units
from factory.identities.roster_building import class_centers, open_recognizer
from factory.provenance.pseudonyms import KEY_VARIABLE
from factory.release import build
from factory.shards.layout import release_store
from factory.sources import open_source
from factory.store import LocalStore
from factory.synthesis.lora_finetuning import finetune
from tests.base_model import save_base
from tests.byte_scan import ByteScan
from tests.conftest import IMAGES, draw_people, save_networks, tiny_dotlist

NAMES = ("Anna Svensson", "Jürgen_Klee", "Maria del Pilar Ortiz", "Zhao Wei")
KEY = "a key that only tests have"
DIM = 128
"""Large enough that other vectors and bytes are not near to anybody by chance."""
METHODS = {
    "diffusion": [f"plan.fill_to={IMAGES + 2}", "identities.num_virtual=2"],
    "lora": [
        "release.method=lora",
        "identities.num_virtual=0",
        f"plan.fill_to={IMAGES + 1}",
        "sampler.kind=ddim",
        *(f"personalization.{item}" for item in "steps=2 num_prior=2 prior_steps=2".split()),
        *(f"personalization.{item}" for item in "crop=whole loras=all rank=2 alpha=2".split()),
    ],
    "edit": [
        "release.method=edit",
        "identities.num_virtual=0",
        "editing.method=drawn",
        "editing.occluded_fractions=[0.0,0.3]",
    ],
}


@contextmanager
def key_of_pseudonyms(key: str | None = KEY) -> Iterator[None]:
    """The environment with this key, or without any."""
    before = os.environ.pop(KEY_VARIABLE, None)
    if key is not None:
        os.environ[KEY_VARIABLE] = key
    try:
        yield
    finally:
        os.environ.pop(KEY_VARIABLE, None)
        if before is not None:
            os.environ[KEY_VARIABLE] = before


def run_without_key(*arguments: Any) -> None:
    """A runner whose makers have no key in their environment, as those on other machines."""
    with key_of_pseudonyms(None):
        run_units(*arguments)


def on_device_without_key(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a device computes of a plan, without a key."""
    with key_of_pseudonyms(None):
        return function(*arguments)


@dataclass(frozen=True)
class Named:
    """A folder with photographs of NAMES, networks that know them, and a store."""

    root: Path

    @classmethod
    def made(cls, root: Path) -> Named:
        (root / "people").mkdir()
        draw_people(root / "people", NAMES)
        save_networks(root / "weights", dim=DIM, names=NAMES)
        save_base(root / "base")
        (root / "any.yaml").write_text("{}\n")
        return cls(root)

    def config(self, method: str, *dotlist: str) -> Config:
        """The config of a release of real people by this method, in a dataset of its name."""
        tiny = tiny_dotlist(self.root / "people", self.root / "weights", self.root / "store")
        settings = [
            f"release.dataset={method}",
            "release.pseudonyms=keyed",
            "release.allow_real=true",
            f"base_model.path={self.root / 'base'}",
            f"fleet.events={self.root / 'events' / method}.jsonl",
            "audit.show_real=true",
        ]
        return load(self.root / "any.yaml", [*tiny, *settings, *METHODS[method], *dotlist])

    def release(
        self, method: str, *dotlist: str, lora_set: bool = True
    ) -> tuple[Config, LocalStore, list[str]]:
        """A release that is made: its config, its store, and all that was logged.

        With `lora_set` the LoRAs that it is drawn by are made before.
        """
        config, lines = self.config(method, *dotlist), list[str]()
        (self.root / "events").mkdir(exist_ok=True)
        with key_of_pseudonyms():
            if method == "lora" and lora_set:
                finetune(config, run_without_key, log=lines.append)
            build(config, run_without_key, on_device=on_device_without_key, log=lines.append)
        store = release_store(config)
        assert isinstance(store, LocalStore)
        return config, store, lines

    def centers(self, config: Config) -> np.ndarray:
        """Templates of everybody: the recognizer's prototypes, then the source's centers."""
        recognizer, source = open_recognizer(config), open_source(config.source)
        centers, _ = class_centers(recognizer, source, 0.0)
        return np.concatenate([recognizer.unit_real, centers])

    def scan(self, config: Config) -> ByteScan:
        """For names, keys of photographs, and templates within a cosine of .5."""
        return ByteScan([*NAMES, *open_source(config.source).keys], self.centers(config))


def other_source(config: Config, path: Path) -> Config:
    """The config with photographs from elsewhere."""
    return replace(config, source=replace(config.source, path=str(path)))
