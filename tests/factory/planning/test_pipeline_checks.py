"""What a pipeline lacks is found before its first training, and few faces are said."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import FactoryError
from factory.planning.pipeline_checks import check_stage, warnings_for
from factory.provenance.pseudonyms import KEY_VARIABLE
from factory.recognition import import_onnx
from tests.conftest import IMAGES, PEOPLE, PX


@pytest.fixture
def config(people, tmp_path):
    """Function of settings -> a config of the drawn people."""

    def make(*settings: str):
        source = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
        places = [f"training.out={tmp_path / 'out'}", "source.license=CC0-1.0"]
        return load(None, [*source, *places, "judge.checkpoint=starter:judge", *settings])

    return make


def test_a_stage_that_lacks_nothing_passes(config):
    for job in ("train_recognizer", "train_generator", "release", "evaluate"):
        check_stage(job, config())


@pytest.mark.parametrize(
    ("job", "settings", "error"),
    [
        ("train_generator", ["source.license=null"], r"source\.license"),
        ("train_generator", ["training.out=FILE/out"], r"training\.out"),
        ("release", ["plan.fill_to=2", "release.allow_real=true"], r"release\.pseudonyms: "),
        (
            "import_recognizer",
            ["recognizer.checkpoint=nobody"],
            r"recognizer\.checkpoint: 'nobody'",
        ),
        ("train_autoencoder", ["recognizer.checkpoint=no/r"], r"recognizer\.checkpoint: .*no/r"),
        ("train_generator", ["autoencoder.checkpoint=no/a"], r"autoencoder\.checkpoint: .*no/a"),
        ("train_generator", ["generator.init_from=no/g"], r"generator\.init_from: .*no/g"),
        ("release", ["judge.checkpoint=nowhere/judge"], r"judge\.checkpoint"),
        ("release", ["source.path=nowhere"], r"source\.path: no such"),
    ],
)
def test_what_a_stage_lacks_is_one_line(config, tmp_path, monkeypatch, job, settings, error):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    (tmp_path / "file").write_text("")
    made = config(*(text.replace("FILE", str(tmp_path / "file")) for text in settings))
    with pytest.raises(FactoryError, match=error) as raised:
        check_stage(job, made)
    assert "\n" not in str(raised.value)


def test_an_import_lacks_a_license_or_a_place(config, tmp_path, monkeypatch):
    monkeypatch.setattr(import_onnx, "describe_embedder", lambda name, key: {})
    named = "recognizer.checkpoint=buffalo_l"
    with pytest.raises(FactoryError, match=r"^checkpoint\.license: "):
        check_stage("import_recognizer", config(named))
    check_stage("import_recognizer", config(named, "checkpoint.license=MIT"))
    (tmp_path / "file").write_text("")
    place = f"training.out={tmp_path / 'file' / 'out'}"
    with pytest.raises(FactoryError, match=r"^training\.out"):
        check_stage("import_recognizer", config(named, "checkpoint.license=MIT", place))


def test_each_training_is_measured_by_what_it_does(config):
    recognizer, others = config(), config("generator.init_from=starter:generator")
    (line,) = warnings_for("train_recognizer", recognizer)
    assert f"{PEOPLE} people where 200" in line
    (line,) = warnings_for("train_generator", others)
    assert f"{PEOPLE} people where 80" in line
    (line,) = warnings_for("train_autoencoder", others)
    assert line.startswith(f"warning: {PEOPLE * IMAGES} images where 2000")
    assert warnings_for("release", others) == []


def test_people_held_out_do_not_count_and_mixed_ones_do(config):
    (line,) = warnings_for("train_generator", config("source.holdout_fraction=0.5"))
    assert f"{PEOPLE // 2} people where 200" in line
    mixed = "batches.mix=[{source: {kind: starter}}]"
    assert warnings_for("train_recognizer", config(mixed)) == []
