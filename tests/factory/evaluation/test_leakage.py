"""The audit: planted real faces are found, strangers are let pass, publishing is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from factory.config import AuditConfig, SourceConfig, load
from factory.errors import IntegrityError, LeakError
from factory.evaluation.embeddings import MadeFaces, RealFaces, made_faces, real_faces
from factory.evaluation.leakage import NOBODY, RealPeople, leakage, refuse_leaks
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.execution.inline import run_units
from factory.recognition.external import open_embedder
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import collect, read_plan
from factory.sources import open_source
from factory.sources.base import Subset
from factory.store import LocalStore

LFW = Path(__file__).parents[4] / "shared/data/lfw_dev/train112.tar"
STRICT = AuditConfig(leak_fpir=0.1)


def unit(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def real(degrees: list[float], labels: list[int]) -> RealFaces:
    return RealFaces(unit(*degrees), np.array(labels), np.arange(len(labels)))


def made(degrees: list[float], identities: list[int]) -> MadeFaces:
    rows = [{"identity": who, "key": f"k{place}"} for place, who in enumerate(identities)]
    return MadeFaces(0, rows, [unit(*degrees), unit(*(230.0 for _ in degrees))])


TWO = real([0, 10, 100, 110], [0, 0, 1, 1])
HASHES = real([0, 5, 100, 105], [0, 0, 1, 1])


def test_nearest_leaves_out_the_own_person():
    people = RealPeople(TWO, centres=True)
    assert sorted(people.images.tolist() + people.centres.tolist()) == list(range(6))
    cosine = people.nearest(unit(10, 10, 104), np.array([NOBODY, 0, NOBODY]))
    np.testing.assert_allclose(cosine, np.cos(np.radians([0, 90, 1])), atol=1e-6)
    strangers = people.between_strangers(people.images)
    np.testing.assert_allclose(strangers, np.cos(np.radians([100, 90, 90, 100])), atol=1e-6)
    assert people.place_of_nearest(unit(9)[0], NOBODY) == 1
    assert people.place_of_nearest(unit(9)[0], 0) == 2


def test_leaks_are_nearer_than_strangers_are():
    """Strangers' images are at least 90 degrees apart, their centres 95 from somebody."""
    release = made([12, 45, 45, 220, 225], [0, 1, 1, 2, 2])
    found = leakage(STRICT, [release], TWO, HASHES, {}).figures
    assert found["faces"]["limit_cosine"] == pytest.approx(0, abs=1e-6)
    assert (found["faces"]["num_above"], found["faces"]["count"]) == (3, 5)
    assert (found["classes"]["num_above"], found["classes"]["count"]) == (2, 3)
    assert found["near_copies"]["num_above"] == 0


def test_a_real_identity_is_compared_with_other_people():
    audit = leakage(STRICT, [made([1, 2], [0, 1])], TWO, HASHES, {0: 0})
    assert audit.figures["faces"]["num_above"] == 1
    assert {pair.row["identity"]: pair.place for pair in audit.pairs[:2]} == {0: 2, 1: 0}


def test_the_largest_pairs_are_listed_first():
    audit = leakage(STRICT, [made([50, 20], [0, 1]), made([100], [2])], TWO, HASHES, {})
    assert [pair.row["identity"] for pair in audit.pairs if pair.kind == "faces"] == [2, 1, 0]
    assert audit.pairs[0].cosine == pytest.approx(1)
    assert [pair[:2] for pair in audit.lookalikes] == [(1, 2), (0, 2), (1, 3)]


def test_one_person_is_no_yardstick():
    one = real([0, 10], [0, 0])
    with pytest.raises(LeakError, match="at least two people"):
        leakage(STRICT, [made([1], [0])], one, one, {})


@pytest.mark.parametrize("kind", ["faces", "classes", "near_copies"])
def test_more_leaks_than_allowed_are_refused(kind):
    fine = {"num_above": 1, "count": 100, "fraction": 0.01, "above": ["a"]}
    figures = {"max_leak_fraction": 0.01, "faces": fine, "classes": fine, "near_copies": fine}
    refuse_leaks(figures)
    with pytest.raises(LeakError, match=r"max_leak_fraction: 2 of 100 .* not published"):
        refuse_leaks(figures | {kind: {"num_above": 2, "count": 100, "fraction": 0.02}})


def test_pixel_hashes_ignore_light_and_see_mirrors():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (2, 14, 14, 3), np.uint8)
    faces = np.stack([np.asarray(Image.fromarray(s).resize((112, 112))) for s in small])
    darker = (faces * 0.6 + 20).astype(np.uint8)
    plain, mirrored = PerceptualHash(), PerceptualHash(mirrored=True)
    cosine = plain.embed(faces) @ plain.embed(darker).T
    assert cosine.diagonal().min() > 0.95
    assert abs(cosine[0, 1]) < 0.4
    assert np.array_equal(plain.embed(faces[:, :, ::-1]), mirrored.embed(faces))
    assert plain.sha256 != mirrored.sha256


def test_a_release_that_leaks_is_sealed_but_not_published(release_config, monkeypatch):
    config = release_config("audit.max_leak_fraction=.1")
    monkeypatch.setattr("factory.evaluation.leakage.EQUAL", -1.0)  # everything is a copy
    with pytest.raises(LeakError, match=r"audit\.max_leak_fraction"):
        build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    assert store.exists(layout.SUMS)
    assert store.exists(layout.REPORT)
    assert not store.exists(layout.SUCCESS)
    assert not LocalStore(config.store.url).exists("tiny/latest.json")
    build(release_config("audit.max_leak_fraction=1"), run_units, log=lambda line: None)
    assert store.exists(layout.SUCCESS)


def test_without_a_judge_the_report_says_so(release_config):
    said: list[str] = []
    config = release_config("judge.checkpoint=null")
    build(config, run_units, log=said.append)
    assert any("audit        n/a: no judge looked" in line for line in said)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    assert "n/a: no judge" in store.get(layout.REPORT).decode()
    assert "No independent recognizer" in store.get(layout.CARD).decode()


class Never:
    """An embedder that must not be asked."""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256

    def embed(self, images):
        raise AssertionError("embedded again")


@pytest.fixture
def released(release_config):
    """(config, store, manifest, a judge that must not be asked) of a published release."""
    config = release_config()
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    judge = open_embedder(config.judge.checkpoint, torch.device("cpu"), "judge.checkpoint")
    return config, store, collect(store, read_plan(store)), Never(judge.sha256)


def test_vectors_are_embedded_once(released):
    config, store, manifest, never = released
    source = open_source(config.source)
    assert (
        len(real_faces(source, config.source, [never], config.audit.embeddings_dir)[0].labels) == 12
    )
    kept = made_faces(store, manifest, [never], config.audit.embeddings_dir)
    assert sum(len(unit.rows) for unit in kept) == 12
    with pytest.raises(AssertionError, match="embedded again"):
        list(made_faces(store, manifest, [never], None))


def test_changed_settings_and_broken_files_are_embedded_again(released):
    config, store, manifest, never = released
    source = open_source(config.source)
    other = replace(config.source, max_pixels=10**6)
    with pytest.raises(AssertionError, match="embedded again"):
        real_faces(source, other, [never], config.audit.embeddings_dir)
    for file in Path(config.audit.embeddings_dir).iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(AssertionError, match="embedded again"):
        real_faces(source, config.source, [never], config.audit.embeddings_dir)
    with pytest.raises(AssertionError, match="embedded again"):
        list(made_faces(store, manifest, [never], config.audit.embeddings_dir))


def test_a_judge_that_gives_no_numbers_is_refused(released):
    _, store, manifest, _ = released

    class Broken:
        sha256 = "broken"

        def embed(self, images):
            unit = np.full((len(images), 4), 0.5, np.float32)
            unit[1] = np.nan
            return unit

    with pytest.raises(
        IntegrityError, match=r"looks at faces gives .* 1 of them not of unit length"
    ):
        list(made_faces(store, manifest, [Broken()], None))


def test_a_shard_that_was_changed_is_not_audited(released):
    _, store, manifest, never = released
    tar = store.root / layout.tar_name(0)
    tar.chmod(0o644)
    tar.write_bytes(tar.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="does not have its sha256"):
        list(made_faces(store, manifest, [never], None))


def test_what_leaks_is_named_and_real_people_are_not(released):
    _, store, _, _ = released
    found = json.loads(store.get("metrics/leakage.json"))
    assert found["faces"]["count"] == 12
    kinds = [pair["kind"] for pair in found["nearest_pairs"]]
    assert kinds == ["faces"] * 12 + ["near_copies"] * 12
    assert set(found["nearest_pairs"][0]) == {"kind", "key", "cosine"}
    assert "person_0" not in store.get("metrics/leakage.json").decode()


def test_pictures_of_real_faces_are_shown_where_asked_for(release_config):
    config = release_config("audit.show_real=true")
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    assert store.get(layout.REPORT).decode().count("<img") == 10 + 24


def test_a_limit_that_sees_nothing_is_pointed_out():
    """One photograph under two names: no face but a copy can be nearer."""
    twice = real([0, 10, 10, 110], [0, 0, 1, 1])
    figures = leakage(STRICT, [made([30], [0])], twice, HASHES, {}).figures
    assert figures["faces"]["limit_cosine"] == pytest.approx(1)
    assert figures["same_person_above"] == 0
    assert "0% are above the faces' limit" in figures["summary"][-1]
    plain = leakage(STRICT, [made([30], [0])], TWO, HASHES, {}).figures
    assert plain["same_person_above"] == 1


def jpeg(image: Image.Image, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


PLANTS = {
    "copy": lambda image: np.asarray(image),
    "mirror": lambda image: np.asarray(image)[:, ::-1],
    "crop": lambda image: np.asarray(image.crop((5, 5, 107, 107)).resize((112, 112))),
    "recompress": lambda image: jpeg(image, 30),
    "relight": lambda image: np.asarray(ImageEnhance.Brightness(image).enhance(1.4)),
}


@pytest.fixture(scope="module")
def lfw():
    """Photographs of 300 people, and 100 strangers."""
    if not LFW.is_file():
        pytest.skip(f"needs {LFW}")
    pytest.importorskip("dlib")
    real = open_source(SourceConfig(kind="folder", path=str(LFW)))
    others = open_source(SourceConfig(kind="folder", path=str(LFW.with_name("test112.tar"))))
    strangers = [others[int(i)].image_HWC for i in np.linspace(0, len(others) - 1, 100)]
    return Subset(real, 1500, 1800), np.stack(strangers)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_faces_that_were_planted_are_found(lfw, tmp_path):
    """By dlib, of 50 faces each: every copy, and 95 % of those mirrored, cropped, recompressed or
    relit; of strangers at most 1 %."""
    source, strangers = lfw
    judge, hashed = open_embedder("dlib", torch.device("cpu"), "judge.checkpoint"), PerceptualHash()
    asked = SourceConfig(kind="folder", path=str(LFW))
    (real,) = real_faces(source, asked, [judge], str(tmp_path))
    plain, mirrored = (
        real_faces(source, asked, [PerceptualHash(m)], str(tmp_path))[0] for m in (False, True)
    )
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.tile(plain.labels, 2),
        np.tile(plain.places, 2),
    )

    def flagged(images: np.ndarray) -> float:
        rows = [{"identity": i, "key": str(i)} for i in range(len(images))]
        made = MadeFaces(0, rows, [judge.embed(images), hashed.embed(images)])
        found = leakage(AuditConfig(), [made], real, hashes, {})
        return found.figures["faces_or_near_copies"]

    chosen = [
        Image.fromarray(source[int(i)].image_HWC) for i in np.linspace(0, len(source) - 1, 50)
    ]
    shares = {name: flagged(np.stack([plant(c) for c in chosen])) for name, plant in PLANTS.items()}
    shares["strangers"] = flagged(strangers)
    print(json.dumps(shares))
    assert shares["copy"] == 1.0
    assert shares["strangers"] <= 0.01
    assert all(share >= 0.95 for name, share in shares.items() if name != "strangers")


@pytest.mark.slow
def test_a_release_of_planted_faces_is_not_published(lfw, tmp_path, monkeypatch):
    """The whole way: a generator that gives away photographs, and the starter's judge."""
    source, _ = lfw
    folder = tmp_path / "people"
    for place in range(60):
        face = source[place]
        person = folder / str(face.label)
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image_HWC).save(person / f"{place}.png")

    def give_away(self, shots, batch_size):
        images = np.zeros((batch_size, 112, 112, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = source[shot.identity * 4 + shot.image].image_HWC
        return images

    monkeypatch.setattr("factory.synthesis.generators.DiffusionGenerator.generate", give_away)
    config = load(
        Path("configs/demo.yaml"),
        [
            "source.kind=folder",
            f"source.path={folder}",
            "identities.num_virtual=10",
            "identities.max_cosine=.999",
            "plan.images_per_identity=4",
            "filters.min_own_cosine=null",
            "filters.min_identity_gap=null",
            "fleet.runner=inline",
            f"audit.embeddings_dir={tmp_path / 'vectors'}",
            f"store.url={tmp_path / 'store'}",
        ],
    )
    with pytest.raises(LeakError, match="40 of 40"):
        build(config, run_units, log=lambda line: None)
