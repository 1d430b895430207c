"""Real people in files are searched as those in memory are; what is no vector is refused."""

from __future__ import annotations

import json
import shutil
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.checkpoint import read_metadata
from factory.errors import ConfigError, PlanError
from factory.execution.inline import run_units
from factory.identities import gallery as gallery_module
from factory.identities.gallery import Gallery, MappedGallery
from factory.identities.gallery_files import (
    check_galleries,
    gallery_files,
    open_here,
    write_gallery,
)
from factory.identities.gate import admit
from factory.identities.proposals import PcaProposal
from factory.release import build
from factory.shards import layout
from factory.shards.plan_files import earlier_vectors, open_plan
from factory.store import LocalStore
from tests.conftest import DIM
from tests.vectors import SEARCHES, unit_rows


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1, 7, 64]), st.sampled_from(sorted(SEARCHES)))
def test_a_mapped_gallery_answers_as_one_in_memory(tmp_path_factory, seed, tile, search):
    stored = unit_rows(seed, 60, 8).astype(np.float16)
    file = tmp_path_factory.mktemp("gallery") / "real.npy"
    np.save(file, stored)
    queries = unit_rows(seed + 1, 9, 8)
    memory = Gallery(8, SEARCHES[search](8))
    memory.add(stored.astype(np.float32)[5:50])
    with mock.patch.multiple(gallery_module, TILE=tile, MAPPED_QUERIES=4):
        mapped = MappedGallery(str(file), 5, 50, SEARCHES[search](8))
        assert len(mapped) == 45
        assert np.array_equal(mapped.nearest(queries), memory.nearest(queries))
        assert np.array_equal(mapped.too_near(queries, 0.6), memory.too_near(queries, 0.6))


def test_the_gate_is_the_same_wherever_real_people_lie(tmp_path):
    real, further, earlier = unit_rows(0, 30, 16), unit_rows(1, 40, 16), unit_rows(2, 5, 16)
    proposal = PcaProposal(real, 10, seed=3)
    limits = {"num_identities": 20, "max_cosine": 0.65, "max_attempts": 900}
    write_gallery(str(tmp_path / "a.npy"), [further[:4], further[4:9]], "sha")
    np.save(tmp_path / "b.npy", further[9:].astype(np.float16))
    files = [MappedGallery(str(tmp_path / name)) for name in ("a.npy", "b.npy")]
    apart = admit(proposal, real, **limits, further=files, unit_earlier_ED=earlier)
    stored = np.concatenate([np.array(part.unit_GD, np.float32) for part in files])
    memory = Gallery(16)
    memory.add(stored)
    whole = admit(proposal, real, **limits, further=[memory], unit_earlier_ED=earlier, block=7)
    assert np.array_equal(apart.unit_ND, whole.unit_ND)
    assert np.array_equal(apart.nearest_real, whole.nearest_real)
    for others in (real, further, earlier):
        assert (apart.unit_ND @ others.T).max() < 0.651
    cosines = np.concatenate([real, further]) @ apart.unit_ND.T
    np.testing.assert_allclose(apart.nearest_real, cosines.max(0), atol=1e-3)
    together = np.concatenate([apart.unit_ND, earlier]) @ apart.unit_ND.T
    together[np.arange(20), np.arange(20)] = -1
    np.testing.assert_allclose(apart.nearest_other, together.max(0), atol=1e-5)


def test_draws_begin_after_earlier_identities():
    real = unit_rows(0, 30, 16)
    proposal = PcaProposal(real, 10, seed=3)
    earlier = proposal.draw(np.arange(4), np.zeros(4, int))
    limits = {"num_identities": 3, "max_cosine": 0.999, "max_attempts": 9}
    got = admit(proposal, real, **limits, unit_earlier_ED=earlier)
    assert got.attempts == [0, 0, 0]
    assert np.array_equal(got.unit_ND, proposal.draw(np.arange(4, 7), np.zeros(3, int)))


def gallery_of(config, path, rows) -> str:
    """The setting for a gallery that claims to be by the config's recognizer."""
    metadata = read_metadata(config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint")
    np.save(path / "gallery.npy", rows)
    (path / "gallery.json").write_text(json.dumps({"recognizer": metadata["sha256"]}))
    return f"identities.gallery={path / 'gallery.npy'}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((3, DIM + 1), np.float32), "has vectors of 17, the recognizer embeds in 16"),
        (np.ones((3, DIM)), "holds float64"),
        (np.ones((3, DIM), np.float32), "length 4.0000; want 1"),
        (np.full((3, DIM), np.nan, np.float16), "length nan; want 1"),
        (np.array([{}], dtype=object), "is not a .npy file"),
    ],
)
def test_what_is_no_gallery_is_refused(release_config, tmp_path, rows, message):
    setting = gallery_of(release_config(), tmp_path, rows)
    with pytest.raises(PlanError, match=message):
        build(release_config(setting), run_units, log=lambda line: None)


def test_a_gallery_that_is_missing_is_named(release_config, tmp_path):
    with pytest.raises(PlanError, match=r"identities\.gallery: no \.npy at .*nowhere"):
        gallery_files(release_config(f"identities.gallery={tmp_path / 'nowhere'}"))


def test_a_gallery_is_written_once(release_config, tmp_path):
    file = tmp_path / "some" / "people.npy"
    parts = [unit_rows(0, 3, DIM), unit_rows(1, 2, DIM)]
    assert write_gallery(str(file), parts, "sha") == 5
    np.testing.assert_allclose(np.load(file), np.concatenate(parts), atol=1e-3)
    config = release_config(f"identities.gallery={file.parent}")
    assert len(check_galleries(config, DIM, "sha")) == 64
    with pytest.raises(PlanError, match=r"people\.json does not name this recognizer"):
        check_galleries(config, DIM, "another")
    assert [len(part) for part in open_here(config)] == [5]
    with pytest.raises(PlanError, match="exists; name another file"):
        write_gallery(str(file), parts, "sha")


def test_a_release_keeps_away_from_a_gallery(release_config, tmp_path):
    """The gallery holds the first people a release without it would admit: they move on."""
    build(release_config(), run_units, log=lambda line: None)
    first = open_plan(store_of(release_config(), "0.1.0"))[1]
    setting = gallery_of(release_config(), tmp_path, first.unit_ND[:2])
    settings = (setting, "release.version=0.2.0")
    build(release_config(*settings), run_units, log=lambda line: None)
    second = open_plan(store_of(release_config(), "0.2.0"))[1]
    assert np.array_equal(second.unit_ND[:4], first.unit_ND[2:])


def store_of(config, version: str) -> LocalStore:
    return LocalStore(config.store.url).below(layout.release_prefix("tiny", version))


def test_a_release_extends_another(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    for version, earlier in (("0.2.0", "0.1.0"), ("0.3.0", "0.2.0")):
        settings = (f"identities.extends={earlier}", f"release.version={version}")
        build(release_config(*settings), run_units, log=lambda line: None)
    everybody = earlier_vectors(LocalStore(config.store.url).below("tiny"), "0.3.0")
    assert everybody.shape == (18, DIM)
    assert (everybody @ everybody.T - 2 * np.eye(18)).max() < 0.9


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (("identities.extends=0.0.9",), PlanError, r"0\.0\.9 is not a sealed release"),
        (("identities.extends=../other/0.1",), ConfigError, "want ASCII letters, digits"),
        (("identities.extends=0.1.0",), ConfigError, "this release's own version"),
    ],
)
def test_what_cannot_be_extended_is_refused(release_config, settings, error, message):
    with pytest.raises(error, match=message):
        build(release_config(*settings), run_units, log=lambda line: None)


def test_a_chain_with_another_link_is_refused(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    build(
        release_config("identities.extends=0.1.0", "release.version=0.2.0"),
        run_units,
        log=lambda line: None,
    )
    shutil.rmtree(store_of(config, "0.1.0").root)
    build(release_config("release.seed=5"), run_units, log=lambda line: None)
    with pytest.raises(PlanError, match="is not the release that was extended"):
        earlier_vectors(LocalStore(config.store.url).below("tiny"), "0.2.0")


def test_an_unfinished_release_cannot_be_extended(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    (store_of(config, "0.1.0").root / layout.SUCCESS).unlink()
    extending = release_config("identities.extends=0.1.0", "release.version=0.2.0")
    with pytest.raises(PlanError, match="is not a sealed release"):
        build(extending, run_units, log=lambda line: None)
