"""Settings given to a pipeline once reach the stages that read them, and no other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from factory.config import Config, StageConfig, load, load_pipeline
from factory.config.pipeline_settings import READS
from factory.config.types import fields_of
from factory.errors import ConfigError
from jobs._catalog import find

TEXT = """
name: mine
settings:
  - source.kind=folder
  - source.path=???  # a folder of people
  - source.holdout_identities=3
stages:
  - name: recognizer
    job: train_recognizer
    set: [recognizer.epochs=5, source.holdout_identities=4, batches.domain=x]
  - name: autoencoder
    job: train_autoencoder
    set: ["recognizer.checkpoint={recognizer}"]
    set_if_imported: [recognizer.checkpoint=starter:recognizer]
  - {name: generator, job: train_generator, set: ["autoencoder.checkpoint={autoencoder}"]}
  - {name: release, set: ["recognizer.checkpoint={recognizer}"]}
"""
PEOPLE = "source.path=people"


@pytest.fixture
def pipeline(tmp_path):
    """Function of arguments -> the stages of TEXT by name, each with its config."""

    def make(*arguments: str, text: str = TEXT) -> dict[str, StageConfig]:
        (tmp_path / "p.yaml").write_text(text)
        return {s.name: s for s in load_pipeline(tmp_path / "p.yaml", list(arguments)).stages}

    return make


def config_of(stage: StageConfig) -> Config:
    return load(
        stage.config,
        [text.replace("{recognizer}", "r").replace("{autoencoder}", "a") for text in stage.set],
    )


def test_what_is_known_of_jobs_is_what_they_read():
    assert set(READS) == set(fields_of(StageConfig)["job"].__args__)
    for job, sections in READS.items():
        assert {*sections, "store"} == {*find(job).reads, "store"}, job
        assert set(sections) <= {field.name for field in dataclasses.fields(Config)}


def test_a_setting_reaches_the_stages_that_read_it(pipeline):
    stages = pipeline(PEOPLE, "sampler.guidance=2", "recognizer.epochs=7")
    configs = {name: config_of(stage) for name, stage in stages.items()}
    assert {config.source.path for config in configs.values()} == {"people"}
    assert configs["release"].sampler.guidance == 2
    others = (configs["recognizer"], configs["autoencoder"])
    assert all(config.sampler == Config().sampler for config in others)


def test_the_command_line_goes_before_a_stage_and_that_before_the_file(pipeline):
    stages = pipeline(PEOPLE, "recognizer.epochs=7")
    configs = {name: config_of(stage) for name, stage in stages.items()}
    assert configs["recognizer"].recognizer.epochs == 7
    assert configs["recognizer"].source.holdout_identities == 4
    assert configs["autoencoder"].source.holdout_identities == 3


def test_each_training_has_its_own_folder(pipeline):
    stages = pipeline(PEOPLE, "out=runs/x")
    outs = {name: config_of(stage).training.out for name, stage in stages.items()}
    assert outs == {
        "recognizer": "runs/x/recognizer",
        "autoencoder": "runs/x/autoencoder",
        "generator": "runs/x/generator",
        "release": Config().training.out,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "source.path: this recipe needs it: a folder of people; give source.path=..."),
        ([PEOPLE, "source.pth=x"], "source.pth: no such key; did you mean source.path?"),
        ([PEOPLE, "nme=x"], "nme: no such key; did you mean name?"),
        ([PEOPLE, "utility.num_seeds=2"], "utility.num_seeds: no such key"),
        ([PEOPLE, "attack.num_people=9"], "attack.num_people: no stage reads section attack"),
        ([PEOPLE, "training.out=x"], "training.out: got one folder for all stages; want out="),
        (
            [PEOPLE, "recognizer.checkpoint=x"],
            "recognizer.checkpoint: stage 'autoencoder' sets it, recognizer.checkpoint={recognizer}"
            "; want recognizer=CHECKPOINT",
        ),
        (
            [PEOPLE, "autoencoder.checkpoint=starter:autoencoder"],
            "autoencoder.checkpoint: stage 'generator' sets it, autoencoder.checkpoint="
            "{autoencoder}; want a copy of this pipeline without stage 'autoencoder'",
        ),
        (
            [PEOPLE, "stages[0].max_steps=3"],
            "stages[0].max_steps: got 3; want at least stages[0].min_steps, 100",
        ),
        ([PEOPLE, "recognizer=dlib"], "recognizer: got 'dlib', which judges what is made"),
        ([PEOPLE, "stages[0].share=2"], "stages[0].share: got 2.0; want 0 to 1"),
    ],
)
def test_what_cannot_be_given_is_one_line(pipeline, arguments, message):
    with pytest.raises(ConfigError, match="^" + re.escape(message)) as error:
        pipeline(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["starter:recognizer", "s3://models/r", "FOLDER"])
def test_a_recognizer_of_ours_takes_the_place_of_its_training(pipeline, weights, name):
    name = name.replace("FOLDER", str(weights / "recognizer"))
    stages = pipeline(PEOPLE, f"recognizer={name}")
    assert list(stages) == ["autoencoder", "generator", "release"]
    readers = [stages["autoencoder"], stages["release"]]
    assert {config_of(stage).recognizer.checkpoint for stage in readers} == {name}


def test_a_folder_with_an_imported_recognizer_is_somebody_elses(pipeline, tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"config": {"backbone": "onnx"}}')
    stages = pipeline(PEOPLE, f"recognizer={tmp_path}")
    assert "recognizer" not in stages
    assert config_of(stages["autoencoder"]).recognizer.checkpoint == "starter:recognizer"
    assert config_of(stages["release"]).recognizer.checkpoint == str(tmp_path)
    (tmp_path / "checkpoint.json").write_text('{"config": {"backbone": "iresnet_mini"}}')
    own = pipeline(PEOPLE, f"recognizer={tmp_path}")["autoencoder"]
    assert config_of(own).recognizer.checkpoint == str(tmp_path)


def test_a_pack_is_imported_by_the_stage_that_would_train(pipeline):
    licensed = "checkpoint.license=research-only"
    stages = pipeline(PEOPLE, "recognizer=buffalo_l", "out=runs/x", licensed)
    imported = config_of(stages["recognizer"])
    assert stages["recognizer"].job == "import_recognizer"
    assert imported.recognizer.checkpoint == "buffalo_l"
    assert (imported.source.path, imported.source.holdout_identities) == ("people", 4)
    assert (imported.training.out, imported.checkpoint.license) == (
        "runs/x/recognizer",
        "research-only",
    )
    assert config_of(stages["autoencoder"]).recognizer.checkpoint == "starter:recognizer"
    assert config_of(stages["release"]).recognizer.checkpoint == "r"


def test_the_recipe_of_photographs_loads_and_says_what_it_needs(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    with pytest.raises(ConfigError, match=r"^source.path: .*; and source.license: .* give source"):
        load_pipeline("configs/photographs.yaml")
    given = ["source.path=people", "source.license=CC-BY-4.0"]
    stages = load_pipeline("configs/photographs.yaml", given).stages
    configs = {stage.job: load(stage.config, stage.set) for stage in stages}
    assert set(configs) == {"train_autoencoder", "train_generator", "release", "evaluate"}
    for config in configs.values():
        assert config.source.holdout_fraction == 0.1
        assert config.recognizer.checkpoint == "starter:recognizer"
    made, measured = configs["release"], configs["evaluate"]
    for section in READS["evaluate"]:
        assert getattr(made, section) == getattr(measured, section), section
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert [stage.max_steps for stage in stages[:2]] == [1200, 600]
    trained = load_pipeline("configs/photographs.yaml", [*given, "recognizer=train"]).stages
    assert trained[0].job == "train_recognizer"
