"""An overfitted generator is caught, and the same one knows nobody among people it never saw."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from factory import checkpoint
from factory.checkpoint import METADATA
from factory.config import AttackConfig, Config, load
from factory.diffusion.train import train
from factory.errors import CheckpointError, ConfigError
from factory.evaluation.attack import attack, check
from factory.evaluation.attack_people import choose_people
from factory.evaluation.attack_roc import chances, person_means
from factory.evaluation.attack_scores import Gallery
from factory.evaluation.attack_trial import Trial
from factory.evaluation.metrics.attack import MAX_CHANCE, Attack, AttackScore
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.recognizers import open_recognizers
from factory.provenance.faces import source_record
from factory.provenance.lineage import NetworkRecord, networks_to_list
from factory.sources import FaceSource, open_source, training_faces
from factory.training.distributed import kept_threads, pick_device
from tests.conftest import PX

EACH, IMAGES = 12, 2
"""People of each side and images of a person."""


def draw_pattern(person: int, image: int) -> np.ndarray:
    """Colors of a person in 4x4 fields, a little different in each image: RGB uint8."""
    fields = np.random.default_rng(person).uniform(30, 225, (4, 4, 3))
    moved = fields + np.random.default_rng(9000 * person + image).normal(0, 12, fields.shape)
    smooth = cv2.resize(moved, (PX, PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def draw_sides(root, *firsts):
    """A folder of EACH people from each number on, in this order of names."""
    for side, first in enumerate(firsts):
        for person in range(first, first + EACH):
            folder = root / f"{side}_{person:04d}"
            folder.mkdir(parents=True)
            for image in range(IMAGES):
                Image.fromarray(draw_pattern(person, image)).save(folder / f"{image}.png")


def quiet(line):
    return None


@pytest.fixture(scope="module")
def described(weights, tmp_path_factory):
    """Function of a pair of sides and changes -> a config; `learned` is what it learns from."""
    root = tmp_path_factory.mktemp("attacked")
    draw_sides(root / "learned", 1000, 2000)
    draw_sides(root / "unseen", 4000, 5000)
    (root / "c.yaml").write_text("{}\n")

    def config(sides: str, *changes: str) -> Config:
        settings = [
            "source.kind=folder",
            f"source.path={root / sides}",
            f"source.image_px={PX}",
            f"source.holdout_identities={EACH}",
            "compute.precision=fp32",
            f"recognizer.checkpoint={weights / 'recognizer'}",
            f"judge.checkpoint={weights / 'judge'}",
            f"generator.checkpoint={root / 'generator'}",
            f"training.out={root / 'generator'}",
            "training.save_every_s=10000",
            "training.max_steps=500",
            "generator.space=pixels",
            "generator.patch=8",
            "generator.width=64",
            "generator.depth=3",
            "generator.num_heads=2",
            "generator.prediction=x0",
            "generator.num_timesteps=100",
            "generator.batch_size=24",
            "generator.warmup_steps=0",
            "generator.lr=3e-3",
            "generator.ema=0.98",
            "generator.epochs=1000",
            "attack.num_draws=2",
            "attack.num_free_draws=16",
            "attack.num_noises=2",
            "sampler.num_steps=4",
            "sampler.guidance=1",
        ]
        return load(root / "c.yaml", [*settings, *changes])

    return config


@pytest.fixture(scope="module")
def attacked(described):
    """The same once the generator has learned, far too long."""
    with kept_threads():
        torch.set_num_threads(1)
        train(described("learned"), quiet)
    return described


@pytest.fixture(scope="module")
def caught(attacked):
    return found_in(attacked("learned"))


def test_a_student_is_not_attacked_in_its_teachers_place(described, weights, tmp_path):
    loaded = checkpoint.load(str(weights / "generator"), "generator", "k")
    loaded.config["distilled"] = {"num_steps": 4, "guidance": 1.5}
    checkpoint.save(tmp_path / "student", loaded)
    named = f"generator.checkpoint={tmp_path / 'student'}"
    with pytest.raises(CheckpointError, match=r"^generator\.checkpoint: is a distilled student"):
        check(described("learned", named))
    with pytest.raises(ConfigError, match=r"^sampler\.kind: got 'distilled'; an attack asks the t"):
        check(described("learned", named, "sampler.kind=distilled", "sampler.guidance=null"))


def found_in(config: Config) -> Attack:
    return attack(config, check(config), log=quiet)


def by_name(found: Attack) -> dict[str, AttackScore]:
    return {score.name: score for score in found.scores}


@pytest.mark.slow
def test_an_attack_catches_an_overfitted_generator(caught):
    assert caught.finding == "told_apart"
    assert (caught.membership, caught.space) == ("recorded", "judge")
    scores = by_name(caught)
    for name in (
        "denoising loss, all levels",
        "denoising loss at t/T = 0.1",
        "denoising loss at t/T = 0.5",
        "draws at person's center: relative pixel distance",
        "draws at single images: relative pixel distance",
    ):
        assert scores[name].interval.low > 0.5, name
        assert scores[name].is_beyond_chance, name
    assert scores["denoising loss, all levels"].at_few_false_alarms.tpr > 0.5
    assert not any(score.is_beyond_chance for score in caught.using("nothing"))


@pytest.mark.slow
def test_an_attack_on_people_whom_nobody_learned_from_finds_nothing(attacked):
    """The same generator, so whatever it was caught by is what it learned from."""
    found = found_in(attacked("unseen"))
    assert found.membership == "contradicted"
    assert found.finding != "told_apart"
    scores = by_name(found)
    for name in ("denoising loss, all levels", "draws at person's center: nearest cosine"):
        assert scores[name].interval.holds(0.5), name
    near = found.free_draws[0]
    assert near.interval.holds(near.expected)


@pytest.mark.slow
def test_an_attack_calls_honest_sides_apart_no_more_often_than_it_says(attacked):
    """Sides drawn anew of people it never saw: at 95 % for all scores at once."""
    config = attacked("unseen")
    people = choose_people(*check(config), config.attack)
    spaces = open_recognizers(config, pick_device(config.compute))
    gallery = Gallery(people, spaces["judge"])
    unit_ND = spaces["recognizer"].embed(people.images_NHWC)
    table = Trial(config, gallery, unit_ND, None, False, quiet).scores()
    scores_KP = np.stack([person_means(values_N, people.person_N) for values_N in table.values()])
    rng, called = np.random.default_rng(0), 0
    for _ in range(300):
        mixed_KP = scores_KP[:, rng.permutation(people.num_people)]
        called += chances(mixed_KP, EACH, seed=0, count=300).min() <= MAX_CHANCE
    assert 4 <= called <= 27  # 15 wanted, three deviations


@pytest.mark.slow
def test_an_attack_gives_the_same_figures_again(attacked, caught):
    again = found_in(attacked("learned"))
    assert json.dumps(to_json(again)) == json.dumps(to_json(caught))
    other = found_in(attacked("learned", "attack.seed=1"))
    assert to_json(other) != to_json(caught)


@pytest.mark.slow
def test_an_attack_does_not_depend_on_its_batches(attacked, caught):
    small = by_name(found_in(attacked("learned", "attack.batch_size=7")))
    for name, score in by_name(caught).items():
        assert small[name].auc == pytest.approx(score.auc, abs=0.01), name


@pytest.mark.slow
def test_an_attack_counts_what_it_has_looked_at(caught):
    members, heldout = caught.members, caught.heldout
    assert (members.people, members.images, members.draws) == (EACH, EACH * IMAGES, EACH * 4)
    assert (heldout.people, heldout.images, heldout.draws) == (EACH, EACH * IMAGES, EACH * 4)
    assert caught.settings == {
        "num_people": 100,
        "images_per_person": 4,
        "num_draws": 2,
        "num_free_draws": 16,
        "noise_levels": list(AttackConfig().noise_levels),
        "num_noises": 2,
        "batch_size": 32,
        "seed": 0,
    }


@pytest.mark.slow
def test_an_attack_asks_virtual_people_where_a_release_has_some(attacked, caught):
    virtual = np.eye(16, dtype=np.float32)[:3]
    config = attacked("learned")
    found = attack(config, check(config), virtual, quiet)
    assert [drawn.condition for drawn in found.free_draws] == ["nobody", "virtual people"]
    assert len(found.scores) == len(caught.scores) + 1
    assert found.free_draws[0] == caught.free_draws[0]


@pytest.mark.parametrize("start", [False, True], ids=["itself", "that it began with"])
def test_an_attack_with_held_out_people_whom_its_generator_knows_is_refused(
    described, weights, tmp_path, start
):
    """Trained with nobody held out, or begun with a generator that was."""
    shutil.copytree(weights / "generator", tmp_path / "generator")
    config = described("learned", f"generator.checkpoint={tmp_path / 'generator'}")
    part, whole = (source_record(config.source, one) for one in members_and_everybody(config))
    own = NetworkRecord("generator", "a" * 64, (part if start else whole,))
    file = tmp_path / "generator" / METADATA
    body = json.loads(file.read_text())

    def tell(*records: NetworkRecord) -> None:
        file.write_text(json.dumps(body | {"provenance": networks_to_list(records)}))

    tell(own, NetworkRecord("generator", "b" * 64, (whole if start else part,)))
    with pytest.raises(ConfigError, match=rf"learned from {EACH} of {EACH} people held out; want"):
        check(config)
    tell(replace(own, learned_from=(part,)), NetworkRecord("generator", "b" * 64, (part,)))
    check(config)


def members_and_everybody(config: Config) -> tuple[FaceSource, FaceSource]:
    """(training part, all) of a source."""
    return training_faces(config.source)[0], open_source(config.source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "release.method=lora personalization.loras=x identities.num_virtual=0 "
            "plan.fill_to=1 release.allow_real=true",
            "release.method: got 'lora'",
        ),
        ("source.holdout_identities=0", "source.holdout_identities: got 0"),
        ("attack.noise_levels=[0,0.5]", "attack.noise_levels: got [0.0, 0.5]"),
        ("attack.noise_levels=[]", "attack.noise_levels: got []"),
    ],
)
def test_an_attack_without_two_sides_is_refused(described, change, message):
    with pytest.raises(ConfigError) as refused:
        check(described("learned", *change.split()))
    assert str(refused.value).startswith(message)
    assert "want" in str(refused.value)
