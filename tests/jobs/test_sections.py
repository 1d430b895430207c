"""A job reads no section of a config that its --help does not name."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from factory.config import Config
from jobs._arguments import parse
from jobs._catalog import find
from tests.conftest import tiny_dotlist

SECTIONS = {field.name for field in dataclasses.fields(Config)}
LIBRARY = ("/factory/config/", "/dataclasses.py", "/copy.py", "/pickle.py")
"""Code that goes through all sections, whatever a job needs."""


@pytest.fixture
def sections_read(monkeypatch):
    """Function of a job and words -> the sections that it reads when it is run on them."""
    read: set[str] = set()
    plain = Config.__getattribute__

    def recording(config: Config, name: str) -> object:
        caller = sys._getframe(1).f_code.co_filename
        if name in SECTIONS and not any(part in caller for part in LIBRARY):
            read.add(name)
        return plain(config, name)

    def run(name: str, *words: str) -> set[str]:
        read.clear()
        monkeypatch.setattr(Config, "__getattribute__", recording)
        try:
            find(name).run(parse(find(name), words))
        finally:
            monkeypatch.undo()
        return set(read)

    return run


@pytest.fixture
def yaml(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return str(tmp_path / "c.yaml")


def test_what_is_made_and_looked_at_again(sections_read, people, weights, yaml, tmp_path):
    arguments = tiny_dotlist(people, weights, tmp_path / "store")
    release = str(tmp_path / "store/tiny/releases/0.1.0")
    gallery = f"identities.gallery={tmp_path / 'gallery.npy'}"
    for name, words in (
        ("plan", [yaml, *arguments]),
        ("release", [yaml, *arguments]),
        ("audit", [yaml, *arguments]),
        ("evaluate", [release, yaml, *arguments]),
        ("attack", [yaml, *arguments, "source.holdout_identities=2", "attack.num_free_draws=2"]),
        ("reproduce", ["000000_0000", yaml, *arguments]),
        ("embed", [yaml, *arguments, gallery]),
    ):
        sections = sections_read(name, *words)
        assert "recognizer" in sections
        assert sections <= set(find(name).reads), name


@pytest.mark.parametrize("network", ["recognizer", "autoencoder", "generator"])
def test_trainings(network, sections_read, people, weights, yaml, tmp_path):
    sections = sections_read(
        f"train_{network}",
        yaml,
        *[word for word in tiny_dotlist(people, weights, tmp_path) if "checkpoint" in word],
        *["source.kind=folder", f"source.path={people}", "source.license=CC0-1.0"],
        "source.image_px=32",
        *["recognizer.backbone=iresnet_mini", "recognizer.embedding_dim=16"],
        *["recognizer.batch_size=2", "autoencoder.batch_size=2", "generator.batch_size=2"],
        *["autoencoder.widths=[16,16]", "autoencoder.latent_channels=4"],
        *["generator.width=32", "generator.num_heads=2", "generator.depth=3"],
        *["training.max_steps=1", f"training.out={tmp_path / 'out'}"],
    )
    assert {"source", "training", network} <= sections
    assert sections <= set(find(f"train_{network}").reads)


def test_a_search_among_many(sections_read, people, weights, yaml):
    source = ["source.kind=folder", f"source.path={people}", "source.image_px=32"]
    words = [yaml, *source, f"recognizer.checkpoint={weights / 'recognizer'}"]
    assert sections_read("identify", *words) <= set(find("identify").reads)
