"""The experiment on blobs: what is split, what is made, what is measured, and that it goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from factory.config import SourceConfig, load
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.json_form import to_json
from factory.execution.inline import run_units
from factory.recognition.train import train
from factory.recognition.verification import equal_error_rate
from factory.records import Counts, Manifest, Shard, Timings
from factory.shots.plan import Plan
from factory.sources import open_source, training_faces
from factory.store import open_store
from factory.studies import occlusion
from factory.studies.occlusion import (
    ORIGINAL,
    Probes,
    check,
    compare,
    lines,
    measure,
    mixed_training,
    split,
)
from tests.conftest import DIM, PX, draw_face, tiny_dotlist
from tests.editors import save_inpainter
from tests.planned import request_with
from tests.unaligned import draw_unaligned, write_table

PEOPLE, IMAGES = 4, 6


@pytest.fixture
def config(weights, tmp_path):
    from PIL import Image

    for person in range(PEOPLE):
        folder = tmp_path / "crowd" / f"person_{person}"
        folder.mkdir(parents=True)
        for image in range(IMAGES):
            Image.fromarray(draw_face(person, image)).save(folder / f"{image}.png")
    file = tmp_path / "compare.yaml"
    file.write_text("{}\n")
    inpainter = save_inpainter(tmp_path / "inpainter", weights)
    dotlist = ["release.method=edit", "editing.method=uvit", f"editing.checkpoint={inpainter}"]
    dotlist += ["comparison.edits_per_image=[1,2]"]
    dotlist += ["editing.kinds=[mask,hat]", "identities.num_virtual=0", "identities.max_cosine=0.9"]
    dotlist += ["release.allow_real=true", "judge.checkpoint=null", "source.holdout_identities=2"]
    dotlist += [f"utility.out={tmp_path / 'learned'}", "utility.seeds=[0]"]
    dotlist += ["recognizer.backbone=iresnet_mini", f"recognizer.embedding_dim={DIM}"]
    dotlist += ["recognizer.epochs=2", "recognizer.batch_size=4", "recognizer.num_virtual=0"]
    return load(file, [*tiny_dotlist(tmp_path / "crowd", weights, tmp_path / "store"), *dotlist])


def test_the_last_images_of_everybody_are_kept_aside(config):
    faces, strangers = training_faces(config.source)
    file, probes = split(config, faces, strangers)
    source = open_source(SourceConfig(kind="folder", path=str(file), image_px=PX))
    assert list(source.names) == ["person_0", "person_1"]
    assert len(source) == 2 * (IMAGES - 2)
    assert (source[0].image_HWC == draw_face(0, 0)).all()
    assert probes.labels.tolist() == [0, 0, 1, 1]
    assert (probes.familiar["clean"][0] == draw_face(0, 4)).all()
    assert list(probes.familiar) == ["clean", "learned 20%", "learned 40%", "new 20%", "new 40%"]
    for look in ("learned 20%", "new 40%"):
        assert (probes.familiar[look] != probes.familiar["clean"]).any((1, 2, 3)).all()
    again = split(config, faces, strangers)[1]
    assert all((again.familiar[look] == images).all() for look, images in probes.familiar.items())


def test_another_split_is_another_file(config):
    faces, strangers = training_faces(config.source)
    first, _ = split(config, faces, strangers)
    assert split(config, strangers, faces)[0] != first  # of the same source
    assert split(with_probes(config, 1), faces, strangers)[0] != first


def with_probes(config, num_probes):
    return replace(config, comparison=replace(config.comparison, num_probes=num_probes))


def test_a_whole_schedule_is_shortened_by_what_was_kept(config, monkeypatch):
    """Of 8 originals, 1:2 with half of all edits kept are 8 more images."""
    recipe = replace(config.recognizer, epochs=40, warmup_epochs=1, milestones=(24.0, 30.0))
    config = replace(config, recognizer=recipe)
    plan = Plan(request_with(source={"num_images": 8}), {}, [])
    half = Shard(0, "h", [], Counts(16, 0, 8, 8, 0), Timings(0.0, 1.0, 1.0, 1.0))
    monkeypatch.setattr(occlusion.manifest, "sealed_plan", lambda store: plan)
    monkeypatch.setattr(
        occlusion.manifest, "collect", lambda store, plan: Manifest("d", "v", "h", [half])
    )
    training = mixed_training(config, config)
    (copies,) = training.batches.mix
    assert copies.same_people
    mixed = training.recognizer
    assert (mixed.epochs, mixed.warmup_epochs, mixed.milestones) == (20, 0.5, (12.0, 15.0))


def test_all_rows_are_learned_measured_and_found_again(config, tmp_path):
    trained: list[str] = []

    def learn(one):
        trained.append(one.training.out)
        return train(one, lambda line: None)

    table = compare(config, run_units, learn, log=lambda line: None)
    rows = [ORIGINAL] + [f"{e} 1:{r}" for e in ("classic", "drawn", "uvit") for r in (1, 2)]
    assert list(table) == rows
    assert len(set(trained)) == len(rows)
    for row in table.values():
        assert 0 <= row.mean["closed clean"] <= 1
        assert 0 <= row.mean["eer new 40%"] <= 1
        assert (set(row.std), row.seeds) == (set(row.mean), 1)
    dataset = open_store(config.store).below("tiny-comparison")
    assert json.loads(dataset.get("edits-0.1.0.json")) == to_json(table)
    assert not (tmp_path / "store" / "tiny").exists()  # the dataset itself is left alone
    again = compare(config, run_units, learn, log=lambda line: None)
    assert again == table
    text = "\n".join(lines(table))
    assert "0.592" in text.splitlines()[-2]  # the paper's, beside ours
    assert "0.404" in text.splitlines()[2]


def test_figures_of_a_recognizer_that_knows_everybody(config):
    """A fake whose embedding is the person: the color of the middle."""

    faces, strangers = training_faces(config.source)
    _, probes = split(config, faces, strangers)
    basis = {draw_face(p, i)[16, 16].tobytes(): p for p in range(PEOPLE) for i in range(IMAGES)}

    class Knows:
        real_names = ("person_1", "person_0")  # in another order than the probes'
        unit_real = np.eye(PEOPLE, dtype=np.float32)[[1, 0]]

        def embed_with_mirror(self, images):
            people = [basis.get(image[16, 16].tobytes(), 3) for image in images]
            return np.eye(PEOPLE, dtype=np.float32)[people]

    figures = measure(Knows(), probes)
    assert figures["closed clean"] == 1
    assert figures["eer clean"] == 0
    assert figures["tar clean"] == 1


def test_figures_are_those_of_pairs_of_a_clean_and_an_occluded_image():
    """Closed-set accuracy by the nearest class; pairs of strangers' clean images with that look."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(24, 5)) + np.repeat(3 * rng.normal(size=(8, 1, 5)), 3, 1).reshape(
        24, 5
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = rng.normal(size=(4, 5))

    class Looks:
        real_names = ("d", "a", "c", "b")
        unit_real = classes[[3, 0, 2, 1]]

        def embed_with_mirror(self, images):
            return vectors[images[:, 0, 0, 0]]

    def faces(rows):
        return np.array(rows).reshape(-1, 1, 1, 1)

    clean, occluded = np.arange(12), np.arange(12, 24)
    labels = np.repeat(np.arange(4), 3)
    probes = Probes(
        {"clean": faces(clean), "new 20%": faces(occluded)},
        labels,
        ["a", "b", "c", "d"],
        {"clean": faces(clean), "new 20%": faces(occluded)},
        labels,
    )
    figures = measure(Looks(), probes)
    for look, rows in (("clean", clean), ("new 20%", occluded)):
        right = [(vectors[row] @ classes.T).argmax() for row in rows] == labels
        assert figures[f"closed {look}"] == right.mean()
        genuine, impostor = [], []
        for i in range(12):
            for j in range(12):
                cosine = vectors[clean[i]] @ vectors[rows[j]]
                if labels[i] != labels[j]:
                    impostor.append(cosine)
                elif i != j:
                    genuine.append(cosine)
        threshold = np.sort(impostor)[-1 - len(impostor) // 100]
        assert figures[f"tar {look}"] == np.mean(np.array(genuine) > threshold)
        wanted = equal_error_rate(np.array(genuine), np.array(impostor))
        assert figures[f"eer {look}"] == pytest.approx(wanted)


def test_what_cannot_be_compared_is_refused(config):
    for method in ("classic", "drawn"):
        other = replace(config, editing=replace(config.editing, method=method))
        with pytest.raises(ConfigError, match=r"editing\.method: got .* want uvit or controlnet"):
            check(other)
    for ratios in ((0,), (1, 1), ()):
        other = replace(config, comparison=replace(config.comparison, edits_per_image=ratios))
        with pytest.raises(ConfigError, match=r"comparison\.edits_per_image: got .* want differ"):
            check(other)
    faces, strangers = training_faces(config.source)
    with pytest.raises(SourceError, match="0 people have 7 images"):
        split(with_probes(config, 5), faces, strangers)


def test_faces_that_were_cut_otherwise_are_another_file(config, weights, tmp_path):
    table = write_table(tmp_path / "points.csv")
    images = draw_unaligned(tmp_path / "images")
    source = replace(config.source, path=str(images), landmarks=str(table), holdout_identities=2)
    comparison = replace(config.comparison, num_probes=1)
    config = replace(config, source=source, comparison=comparison)

    def learned(config):
        return split(config, *training_faces(config.source))[0]

    before = learned(config)
    write_table(table, shift=5)
    assert learned(config) != before
    write_table(table)
    moved = shutil.copytree(images, tmp_path / "moved")
    assert learned(replace(config, source=replace(source, path=str(moved)))) == before
