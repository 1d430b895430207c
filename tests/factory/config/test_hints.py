"""A key that there is not is answered by the one that was meant."""

from __future__ import annotations

import pytest

from factory.config import load, load_claim, load_pipeline
from factory.errors import ConfigError


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("plan.micro_bach=3", "plan.micro_bach: no such key; did you mean plan.micro_batch?"),
        ("plam.micro_batch=3", "plam.micro_batch: no such key; did you mean plan.micro_batch?"),
        (
            "plan.num_steps=3",
            "plan.num_steps: no such key; did you mean distillation.num_steps or sampler",
        ),
        ("num_virtual=50", "num_virtual: its section is missing; want "),
        ("num_virtual=50", "recognizer.num_virtual=50 or identities.num_virtual=50"),
        ("plan.nonsense=1", "plan.nonsense: no such key; want one of images_per_identity, "),
        ("nonsense=1", "nonsense: no such section; `python -m jobs config` lists all"),
        (
            "recognizer.augment.corp=1",
            "recognizer.augment.corp: no such key; did you mean recognizer.augment.crop?",
        ),
        (
            "batches.mix=[{sorce: {}}]",
            "batches.mix[0].sorce: no such key; did you mean batches.mix[0]",
        ),
        ("feed.num_workers=2", "feed.num_workers: renamed to batches.num_workers"),
        ("editing.editor=uvit", "editing.editor: renamed to editing.method; it also needs release"),
        (
            "booth.loras=me",
            "booth.loras: renamed to personalization.loras; it also needs release.me",
        ),
        (
            "sampler.away=nearest",
            "sampler.away: renamed to sampler.negative_condition, and the value 'nearest' to "
            "'nearest_identity'",
        ),
        (
            "sampler.negative_condition=nobody",
            "sampler.negative_condition: the value 'nobody' was renamed to 'none'",
        ),
        (
            "identities.proposal=coloured",
            "identities.proposal: the value 'coloured' was renamed to 'colored'",
        ),
        (
            "sampler.guidance_to=0.5",
            "sampler.guidance_to: renamed to sampler.guidance_interval, which takes both ends",
        ),
    ],
)
def test_arguments(refusal, argument, message):
    assert message in refusal(argument)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feed: {num_workers: 2}", "feed.num_workers: renamed to batches.num_workers"),
        ("feed:", "feed: renamed to batches"),
        ("sampler: {away: itself}", "'itself' to 'same_identity'"),
        (
            "num_steps: 3",
            "num_steps: its section is missing; want distillation.num_steps=3 or sampler.",
        ),
        ("sampler.guidance: 2", "want it in two lines, `sampler:` and indented below it `guidance"),
    ],
)
def test_files(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml")
    assert message in str(caught.value)


def test_claims_and_pipelines_are_answered_alike(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("findng: x\n")
    with pytest.raises(ConfigError, match=r"^findng: no such key; did you mean finding\?$"):
        load_claim(file)
    file.write_text("arms: {a: {cofig: x}}\n")
    with pytest.raises(ConfigError, match=r"^arms.a.cofig: .* did you mean arms.a.config\?$"):
        load_claim(file)
    file.write_text("stages: [{jobs: release}]\n")
    with pytest.raises(ConfigError, match=r"did you mean stages\[0\].job\?$"):
        load_pipeline(file)
    file.write_text("stages: [{job: finetune}]\n")
    with pytest.raises(ConfigError, match=r"^stages\[0\].job: got 'finetune'; want one of train_"):
        load_pipeline(file)
    file.write_text("feed: 1\n")
    with pytest.raises(ConfigError, match=r"^feed: no such key; want one of name, store, out, rec"):
        load_pipeline(file)
