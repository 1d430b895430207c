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
from factory.errors import LeakError
from factory.evaluation.embeddings import RealFaces, RecognizerSpace, real_faces
from factory.evaluation.leakage import LeakTest, refuse_leaks, summary_lines
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.separability import Leakage
from factory.evaluation.metrics.values import Interval, NotMeasured
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.evaluation.real_people import NOBODY, RealPeople
from factory.execution.inline import run_units
from factory.recognition.external import open_embedder
from factory.recognition.resampling import wilson
from factory.records import DrawnBatch
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import read_metrics
from factory.sources import open_source
from factory.sources.base import Subset
from factory.store import LocalStore
from tests.factory.evaluation.audits import MadeFaces, leakage
from tests.measured import LEAKAGE, leaks
from tests.outside import LFW

STRICT = AuditConfig(leak_fpir=0.1)


def unit(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def real(degrees: list[float], labels: list[int]) -> RealFaces:
    return RealFaces(unit(*degrees), np.array(labels), np.arange(len(labels)))


def made(degrees: list[float], identities: list[int]) -> MadeFaces:
    rows = [{"identity": label, "key": f"k{row}"} for row, label in enumerate(identities)]
    return MadeFaces(rows, unit(*degrees), unit(*(230.0 for _ in degrees)))


TWO = real([0, 10, 100, 110], [0, 0, 1, 1])
HASHES = real([0, 5, 100, 105], [0, 0, 1, 1])


def test_nearest_leaves_out_the_own_person():
    people = RealPeople.of(TWO, centers=True)
    assert sorted(people.images.tolist() + people.centers.tolist()) == list(range(6))
    cosine = people.nearest(unit(10, 10, 104), np.array([NOBODY, 0, NOBODY]))
    np.testing.assert_allclose(cosine, np.cos(np.radians([0, 90, 1])), atol=1e-6)
    strangers = people.strangers.cosine_M
    np.testing.assert_allclose(strangers, np.cos(np.radians([100, 90, 90, 100])), atol=1e-6)
    _, nearest = people.nearest_with_index(unit(9, 9), np.array([NOBODY, 0]))
    assert nearest.tolist() == [1, 2]


def test_leaks_are_nearer_than_strangers_are():
    """Strangers' images are at least 90 degrees apart, their centers 95 from somebody."""
    release = made([12, 45, 45, 220, 225], [0, 1, 1, 2, 2])
    measured = leakage(STRICT, [release], TWO, HASHES, {}).metrics
    assert measured.faces.limit_cosine == pytest.approx(0, abs=1e-6)
    assert (measured.faces.num_leaks, measured.faces.count) == (3, 5)
    assert measured.faces.leaks == ["k0", "k1", "k2"]
    assert (measured.classes.num_leaks, measured.classes.count) == (2, 3)
    assert measured.classes.leaks == [0, 1]
    assert measured.near_copies.num_leaks == 0


def test_the_limit_is_exceeded_by_a_fraction_of_strangers_that_is_given():
    """Of strangers 0.00, 0.01 .. 0.99 one in twenty may be nearer than the limit."""
    strangers = np.arange(100) / 100
    cosines = np.array([0.5, 0.94, 0.96, 0.97])
    test = LeakTest(strangers, leak_fpir=0.05)
    test.add(["a", "b"], cosines[:2])
    assert test.add(["c", "d"], cosines[2:]).tolist() == [True, True]
    counts = test.counts(40)
    assert counts.limit_cosine == pytest.approx(0.95)
    assert (strangers > counts.limit_cosine).sum() <= 5
    assert counts.leaks == ["c", "d"]
    assert counts.fraction == 0.5
    assert counts.interval == Interval(*wilson(0.5, 40))  # people are the trials
    assert counts.limit_note == ""
    looser = LeakTest(strangers, leak_fpir=0.5)
    looser.add(["a", "b", "c", "d"], cosines)
    assert looser.counts(40).leaks == ["b", "c", "d"]


def test_a_limit_of_too_few_strangers_says_that_it_is_the_largest():
    test = LeakTest(np.arange(270) / 1000, leak_fpir=0.001)
    test.add(["a"], np.array([0.1]))
    counts = test.counts(30)
    assert counts.limit_cosine == pytest.approx(0.269)
    assert counts.limit_note == "the largest of 270 strangers; 0.001 of them needs 1000"
    assert counts.interval == Interval(0.0, 3 / 30)  # none of 30 people


def test_a_real_identity_is_compared_with_other_people():
    audit = leakage(STRICT, [made([1, 2], [0, 1])], TWO, HASHES, {0: 0})
    assert audit.metrics.faces.num_leaks == 1
    assert {pair.row["identity"]: pair.real_index for pair in audit.pairs[:2]} == {0: 2, 1: 0}


def test_the_largest_pairs_are_listed_first():
    audit = leakage(STRICT, [made([50, 20], [0, 1]), made([100], [2])], TWO, HASHES, {})
    assert [pair.row["identity"] for pair in audit.pairs if pair.kind == "faces"] == [2, 1, 0]
    assert audit.pairs[0].cosine == pytest.approx(1)
    assert [pair[:2] for pair in audit.lookalikes] == [(1, 2), (0, 2), (1, 3)]


def test_of_many_faces_the_twenty_nearest_are_listed():
    degrees = [20 + (37 * row) % 60 for row in range(30)]  # in no order
    audit = leakage(STRICT, [made(degrees, list(range(30)))], TWO, HASHES, {})
    apart = np.minimum(np.abs(np.array(degrees) - 10), np.abs(np.array(degrees) - 100))
    listed = [pair for pair in audit.pairs if pair.kind == "faces"]
    wanted = np.cos(np.radians(np.sort(apart)[:20]))
    np.testing.assert_allclose([pair.cosine for pair in listed], wanted, atol=1e-6)


def test_pairwise_rates_are_at_the_cosines_of_strangers_pairs():
    """At FMR 1e-3 and 1e-4, of forty people around half a circle with two images each."""
    labels = np.arange(80) // 2
    degrees = 4.5 * labels + np.random.default_rng(0).uniform(0, 1, 80)
    source = real(degrees.tolist(), labels.tolist())
    row, column = np.triu_indices(80, 1)
    apart = labels[row] != labels[column]
    impostor = np.sort((source.unit_ND @ source.unit_ND.T)[row, column][apart])
    made_ND = unit(*np.linspace(176, 187, 50))
    release = made(np.linspace(176, 187, 50).tolist(), list(range(50)))
    pairwise = leakage(STRICT, [release], source, HASHES, {}).metrics.pairwise
    assert pairwise.num_pairs == len(impostor)
    cosines, fractions = (made_ND @ source.unit_ND.T).max(1), []
    for fmr, name in ((1e-3, "0.001"), (1e-4, "0.0001")):
        found = pairwise.at_fmr[name]
        limit = impostor[-1 - int(fmr * len(impostor))]
        assert found.cosine == pytest.approx(limit, abs=1e-6)
        assert found.fraction == np.mean(cosines > limit)
        fractions.append(found.fraction)
    assert 1 > fractions[0] > fractions[1] > 0


def test_a_face_that_leaks_either_way_counts_once():
    """One is near in the judge's space, one among hashes, one both ways, one in neither."""
    judged, hashed = unit(12, 220, 12, 220), unit(230, 3, 3, 230)
    rows = [{"identity": row, "key": f"k{row}"} for row in range(4)]
    measured = leakage(STRICT, [MadeFaces(rows, judged, hashed)], TWO, HASHES, {}).metrics
    assert (measured.faces.num_leaks, measured.near_copies.num_leaks) == (2, 2)
    assert measured.faces_or_near_copies == 0.75


def test_one_person_is_no_yardstick():
    one = real([0, 10], [0, 0])
    with pytest.raises(LeakError, match="at least two people"):
        leakage(STRICT, [made([1], [0])], one, one, {})


@pytest.mark.parametrize("kind", ["faces", "classes", "near_copies"])
def test_more_leaks_than_allowed_are_refused(kind):
    allowed = leaks(1, 100, ["a"])
    metrics = replace(LEAKAGE, faces=allowed, classes=allowed, near_copies=allowed)
    refuse_leaks(metrics)
    refuse_leaks(NotMeasured("n/a"))
    with pytest.raises(LeakError, match=rf"fraction: 2 of 100 .* not published, .* {kind}\.leaks"):
        refuse_leaks(replace(metrics, **{kind: leaks(2, 100, ["a", "b"])}))


def test_a_release_that_leaks_is_sealed_but_not_published(release_config, monkeypatch):
    config = release_config("audit.max_leak_fraction=.1")
    monkeypatch.setattr("factory.quality.real_limits.EQUAL", -1.0)  # everything is a copy
    with pytest.raises(LeakError, match=r"audit\.max_leak_fraction"):
        build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    assert store.exists(layout.SUMS)
    assert store.exists(layout.REPORT)
    assert not store.exists(layout.SUCCESS)
    assert not LocalStore(config.store.url).exists("tiny/latest.json")
    build(release_config("audit.max_leak_fraction=1"), run_units, log=lambda line: None)
    assert store.exists(layout.SUCCESS)


def test_without_a_judge_the_report_says_so(release_config):
    lines: list[str] = []
    config = release_config("judge.checkpoint=null")
    build(config, run_units, log=lines.append)
    assert any("audit        n/a: no judge looked" in line for line in lines)
    store = layout.release_store(config)
    assert "n/a: no judge" in store.get(layout.REPORT).decode()
    assert "No independent recognizer" in store.get(layout.CARD).decode()


def test_what_leaks_is_named_and_real_people_are_not(release_config):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    measured = from_json(Leakage, read_metrics(store, "leakage"))
    assert measured.faces.count == 12
    kinds = [pair.kind for pair in measured.nearest_pairs]
    assert kinds == ["faces"] * 12 + ["near_copies"] * 12
    assert "person_0" not in store.get("metrics/leakage.json").decode()


def test_pictures_of_real_faces_are_shown_where_asked_for(release_config):
    config = release_config("audit.show_real=true")
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    assert store.get(layout.REPORT).decode().count("<img") == 10 + 24


def test_a_limit_that_sees_nothing_is_pointed_out():
    """Two people who look more alike than each of them does: no face but a copy can be nearer."""
    alike = real([0, 40, 1, 110], [0, 0, 1, 1])
    blind = leakage(STRICT, [made([30], [0])], alike, HASHES, {}).metrics
    assert blind.faces.limit_cosine == pytest.approx(np.cos(np.radians(1)), abs=1e-6)
    assert blind.power.fraction == 0
    assert "a known person in 0.0% of images" in summary_lines(blind)[-1]
    plain = leakage(STRICT, [made([30], [0])], TWO, HASHES, {}).metrics
    assert plain.power.fraction == 1
    assert "; of its strangers 0 of 4" in summary_lines(plain)[0]


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
        pytest.skip("needs LFW in FACE_FACTORY_DATA (tests/outside.py)")
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
    judge = RecognizerSpace(open_embedder("dlib", torch.device("cpu"), "judge.checkpoint"))
    hashed, config = PerceptualHash(), SourceConfig(kind="folder", path=str(LFW))
    (real,) = real_faces(source, config, [judge], str(tmp_path))
    plain, mirrored = (
        real_faces(source, config, [PerceptualHash(m)], str(tmp_path))[0] for m in (False, True)
    )
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.tile(plain.labels, 2),
        np.tile(plain.indices, 2),
    )

    def flagged(images: np.ndarray) -> float:
        rows = [{"identity": i, "key": str(i)} for i in range(len(images))]
        made = MadeFaces(rows, judge.embed(images), hashed.embed(images))
        return leakage(AuditConfig(), [made], real, hashes, {}).metrics.faces_or_near_copies

    chosen = [
        Image.fromarray(source[int(i)].image_HWC) for i in np.linspace(0, len(source) - 1, 50)
    ]
    fractions = {
        name: flagged(np.stack([plant(face) for face in chosen])) for name, plant in PLANTS.items()
    }
    fractions["strangers"] = flagged(strangers)
    print(json.dumps(fractions))
    assert fractions["copy"] == 1.0
    assert fractions["strangers"] <= 0.01
    assert all(fraction >= 0.95 for name, fraction in fractions.items() if name != "strangers")


@pytest.mark.slow
def test_a_release_of_planted_faces_is_not_published(lfw, tmp_path, monkeypatch):
    """The whole way: a generator that gives away photographs, and the starter's judge."""
    source, _ = lfw
    folder = tmp_path / "people"
    for index in range(60):
        face = source[index]
        person = folder / str(face.label)
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image_HWC).save(person / f"{index}.png")

    def give_away(self, shots, batch_size):
        images = np.zeros((batch_size, 112, 112, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = source[shot.identity * 4 + shot.image].image_HWC
        return DrawnBatch(images)

    monkeypatch.setattr("factory.synthesis.generators.DiffusionGenerator.generate", give_away)
    config = load(
        Path("configs/demo.yaml"),
        [
            "source.kind=folder",
            f"source.path={folder}",
            "source.license=research-only",
            "judge.checkpoint=starter:judge",
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
