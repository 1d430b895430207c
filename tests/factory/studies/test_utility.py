"""Trainings on a release, its source and both; means, gaps, and what a missing benchmark does."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import MixedSource, SourceConfig, load
from factory.errors import ConfigError
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.utility import Utility, UtilityRun
from factory.evaluation.metrics.values import MeanStd, NotMeasured
from factory.recognition.batches import open_training_set
from factory.recognition.train import train
from factory.store import LocalStore
from factory.studies.utility import gap_to_real, summary, training_sets, utility, with_seed
from tests.conftest import IMAGES, PEOPLE, PX, draw_face
from tests.releases import write_release
from tests.unaligned import draw_unaligned, write_table


def run_of(seed, **accuracy):
    figures = {
        name: {"accuracy": value, "tar_at_far_1e-2": value / 2, "roc": []}
        for name, value in accuracy.items()
    }
    return UtilityRun(seed, 10, 5, figures)


def test_means_over_seeds_and_both_conventions_of_the_gap():
    measured = summary(
        {"lr": 0.1},
        {
            "real": [run_of(0, lfw=0.9, cfp=0.8), run_of(1, lfw=0.92, cfp=0.82)],
            "release": [run_of(0, lfw=0.8, cfp=0.6), run_of(1, lfw=0.8, cfp=0.6)],
        },
    )
    assert measured.sets["real"].average.mean == pytest.approx(0.86)
    assert measured.sets["real"].average.std == pytest.approx(0.02 / np.sqrt(2))
    cfp = measured.sets["release"].benchmarks["cfp"]
    assert cfp.accuracy == MeanStd(0.6, 0.0)
    assert cfp.tar_at_far == {"1e-2": MeanStd(0.3, 0.0)}
    assert measured.gap_to_real["release"].points == pytest.approx(16)
    assert measured.gap_to_real["release"].percent == pytest.approx(100 * 0.16 / 0.7)
    assert "real" not in measured.gap_to_real


def resampled_run(seed, people=30, **accuracy):
    """A run whose figures tell of how many people they are."""
    run = run_of(seed, **accuracy)
    for figures in run.benchmarks.values():
        figures |= {"resampled": "people", "num_people": people, "tar_at_far_1e-2_interval": [0, 1]}
    return run


def test_intervals_are_over_seeds_and_people_and_a_gap_is_on_the_same_people():
    """What people share between the two sets cancels in the gap and not in the accuracies."""
    runs = {
        "real": [resampled_run(0, lfw=0.90, cfp=0.80), resampled_run(1, lfw=0.91, cfp=0.81)],
        "release": [resampled_run(0, lfw=0.80, cfp=0.70), resampled_run(1, lfw=0.82, cfp=0.71)],
    }
    luck = {name: np.random.default_rng(i).normal(0, 0.03, 1000) for i, name in enumerate("ab")}
    luck = {"lfw": luck["a"], "cfp": luck["b"]}
    resampled = {
        name: [
            {key: figures["accuracy"] + luck[key] for key, figures in run.benchmarks.items()}
            for run in some
        ]
        for name, some in runs.items()
    }
    measured, alone = summary({}, runs, resampled), summary({}, runs)
    gap, of_seeds = (found.gap_to_real["release"] for found in (measured, alone))
    assert gap.points == pytest.approx(9.75)
    assert gap.interval.low < gap.points < gap.interval.high
    assert gap.interval.high - gap.interval.low < of_seeds.interval.high - of_seeds.interval.low + 1
    assert gap.detectable > 0
    lfw = measured.sets["release"].benchmarks["lfw"]
    assert lfw.tar_at_far.keys() == {"1e-2"}
    assert lfw.interval.high - lfw.accuracy.mean > 2 * 0.03  # t of 29 people, and of the seeds
    average = measured.sets["release"].interval
    assert average.high - 0.7575 == pytest.approx(2.05 * 0.03 / np.sqrt(2), rel=0.15)
    written = json.loads(json.dumps(to_json(measured), allow_nan=False))
    assert from_json(Utility, written) == measured


def test_a_set_that_was_learned_once_has_an_interval_over_people():
    runs = {"real": [resampled_run(0, lfw=0.9)]}
    luck = np.random.default_rng(0).normal(0.9, 0.02, 1000)
    found = summary({}, runs, {"real": [{"lfw": luck}]}).sets["real"]
    assert found.interval.low == pytest.approx(0.9 - 2.045 * 0.02, rel=0.01)
    assert summary({}, runs).sets["real"].interval is None


def test_the_gap_has_the_sign_of_the_paper():
    assert gap_to_real(0.9, 0.8).points > 0 > gap_to_real(0.8, 0.9).points


def test_a_benchmark_that_cannot_be_read_is_left_out_of_means():
    missing = run_of(0, lfw=0.9)
    missing.benchmarks["gone"] = NotMeasured("n/a: no such file")
    measured = summary({}, {"real": [missing]})
    assert list(measured.sets["real"].benchmarks) == ["lfw"]
    assert measured.sets["real"].average.mean == 0.9


@pytest.fixture
def config(people, tmp_path):
    """Three steps of a tiny recognizer on drawn people, verified on others and on a lost file."""
    bench = tmp_path / "bench"
    for person in ("ann", "bob"):
        (bench / person).mkdir(parents=True)
        for image in (1, 2):
            face = draw_face(len(person) + ord(person[0]), image)
            Image.fromarray(face).save(bench / person / f"{person}_{image:04d}.png")
    pairs = tmp_path / "few.txt"
    pairs.write_text("2\t1\nann\t1\t2\nann\t1\tbob\t1\nbob\t1\t2\nann\t2\tbob\t2\n")
    (tmp_path / "some.yaml").write_text("{}\n")
    settings = [
        "source.kind=folder",
        f"source.path={people}",
        f"source.image_px={PX}",
        "recognizer.backbone=iresnet_mini",
        "recognizer.embedding_dim=8",
        "recognizer.batch_size=4",
        "training.max_steps=3",
        f"utility.out={tmp_path / 'utility'}",
        "utility.seeds=[0,1]",
    ]
    lost = SourceConfig(pairs=str(tmp_path / "lost.bin"))
    config = load(tmp_path / "some.yaml", settings)
    readable = replace(config.source, path=str(bench), pairs=str(pairs))
    return replace(config, utility=replace(config.utility, benchmarks=[readable, lost]))


@pytest.fixture
def release(people, tmp_path):
    """The drawn people as a shard, which stands for a release."""
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for label, folder in enumerate(sorted(people.iterdir())):
            for file in sorted(folder.iterdir()):
                for suffix, data in ((".png", file.read_bytes()), (".cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{label}_{file.stem}{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return shard


def test_three_sets_two_seeds_and_again(config, release):
    lines: list[str] = []
    measured = utility(config, release, train, lines.append)
    assert {name: [run.seed for run in runs] for name, runs in measured.runs.items()} == {
        "real": [0, 1],
        "release": [0, 1],
        "both": [0, 1],
    }
    counts = {name: (one.images, one.identities) for name, one in measured.sets.items()}
    both = (2 * PEOPLE * IMAGES, 2 * PEOPLE)
    assert counts == {"real": (12, 4), "release": (12, 4), "both": both}
    unread = measured.runs["real"][0].benchmarks["lost"]
    assert unread == NotMeasured("n/a: could not be read")
    assert any("lost.bin is no file" in line for line in lines)
    assert list(measured.sets["real"].benchmarks) == ["few"]
    written = json.loads(json.dumps(to_json(measured)))
    assert from_json(Utility, written).sets == measured.sets

    trained = []
    again = utility(config, release, lambda one: trained.append(1) or train(one), lines.append)
    assert again.sets == measured.sets
    assert len(trained) == 6  # each a resume at its end: no step is taken
    other = replace(config.recognizer, lr=0.2)
    assert with_seed(replace(config, recognizer=other), "x", 0) != with_seed(config, "x", 0)


def test_sets_are_the_source_the_release_and_both(config, tmp_path):
    sets = training_sets(config, tmp_path)
    assert sets["real"].source.path == config.source.path
    assert sets["release"].source.kind == "webdataset"
    assert not sets["release"].batches.mix
    (added,) = sets["both"].batches.mix
    assert added.source == sets["release"].source
    assert not added.same_people
    assert added.weight == config.utility.release_weight == 1.0


def test_what_is_mixed_into_the_source_stays_there_and_is_no_part_of_the_release(config, tmp_path):
    other = MixedSource(
        source=SourceConfig(kind="folder", path="other"), domain="other", weight=2.0
    )
    config = replace(
        config,
        batches=replace(config.batches, mix=[other]),
        utility=replace(config.utility, release_weight=0.25),
    )
    sets = training_sets(config, tmp_path)
    assert sets["real"].batches.mix == [other]
    assert sets["release"].batches.mix == []
    first, added = sets["both"].batches.mix
    assert first == other
    assert added.weight == 0.25


@pytest.mark.parametrize("named", [False, True])
def test_people_whom_a_release_fills_up_stay_themselves(config, tmp_path, named):
    """Their made images join their class; a release of virtual people changes nothing."""
    made = LocalStore(tmp_path / "made")
    write_release(made, [3], 2, px=PX, names={2: "person_0"} if named else None)
    (added,) = training_sets(config, made.root)["both"].batches.mix
    assert added.same_people == named
    training_set, _ = open_training_set(training_sets(config, made.root)["both"])
    assert len(training_set.names) == PEOPLE + 3 - named
    assert np.bincount(training_set.labels)[0] == IMAGES + 2 * named
    others = replace(config, utility=replace(config.utility, same_people=False))
    (added,) = training_sets(others, made.root)["both"].batches.mix
    assert not added.same_people


def test_needs_a_benchmark(config, tmp_path):
    bare = replace(config, utility=replace(config.utility, benchmarks=[]))
    with pytest.raises(ConfigError, match=r"utility\.benchmarks: got none"):
        utility(bare, tmp_path, train, print)


def test_nothing_is_trained_where_no_benchmark_can_be_read(config, release):
    (_, lost) = config.utility.benchmarks
    blind = replace(config, utility=replace(config.utility, benchmarks=[lost]))
    with pytest.raises(ConfigError, match="none can be read"):
        utility(blind, release, lambda one: pytest.fail("trained"), lambda line: None)


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ("{kind: folder, path: faces}", r"utility\.benchmarks\[0\]\.pairs: nothing given"),
        ("{kind: folder, pairs: p.txt}", r"utility\.benchmarks\[0\]\.path: nothing given"),
        ("{pairs: a/lfw.bin}, {pairs: b/lfw.bin}", "two benchmarks are called 'lfw'"),
    ],
)
def test_benchmarks_are_checked_with_the_config(tmp_path, benchmark, message):
    (tmp_path / "some.yaml").write_text(f"utility: {{benchmarks: [{benchmark}]}}\n")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "some.yaml")


def test_a_folder_is_named_by_contents(config, tmp_path):
    """Faces that are cut otherwise are learned in another folder, moved ones in the same."""
    table, keys = write_table(tmp_path / "points.csv"), tmp_path / "keys.txt"
    keys.write_text("person_0/0")
    images = draw_unaligned(tmp_path / "images")
    source = replace(config.source, path=str(images), landmarks=str(table))
    batches = replace(config.batches, oversample=str(keys), mix=[MixedSource(source=source)])
    config = replace(config, source=source, batches=batches)

    def folder(config=config):
        return with_seed(config, "x", 0).training.out

    before = folder()
    write_table(table, shift=5)
    assert folder() != before
    write_table(table)
    assert folder() == before
    keys.write_text("person_1/0")
    assert folder() != before
    keys.write_text("person_0/0")
    moved = replace(source, path=str(shutil.copytree(images, tmp_path / "moved")))
    mixed = replace(batches, mix=[MixedSource(source=moved)])
    assert folder(replace(config, source=moved, batches=mixed)) == before
    closer = replace(batches, mix=[MixedSource(source=replace(source, zoom=0.5))])
    assert folder(replace(config, batches=closer)) != before
