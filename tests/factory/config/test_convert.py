"""Each type takes what people write for it, and says in words what it wants."""

from __future__ import annotations

import math

import pytest

from factory.config import load
from factory.errors import ConfigError


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("generator.width=1_024", 1024),
        ("training.max_steps=null", None),
        ("training.max_steps=010", 10),
        ("sampler.guidance=1e-1", 0.1),
        ("sampler.guidance=2", 2.0),
        ("fleet.deadline_s=.inf", math.inf),
        ("compute.compile=True", True),
        ("compute.compile=off", False),
        ("compute.compile=auto", "auto"),
        ("sampler.guidance_interval=[0.25, 1]", (0.25, 1.0)),
        ("sampler.yaw=[]", ()),
        ("source.heldout_kind=null", None),
    ],
)
def test_values(empty, argument, value):
    section, name = argument.partition("=")[0].split(".")
    got = getattr(getattr(load(empty, [argument]), section), name)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("plan.micro_batch=many", "plan.micro_batch: got 'many'; want a whole number, or null"),
        ("plan.micro_batch=8.5", "plan.micro_batch: got '8.5'; want a whole number, or null"),
        ("plan.num_threads=null", "plan.num_threads: got nothing; want a whole number"),
        ("sampler.guidance=nan", "sampler.guidance: got 'nan'; want a number"),
        ("compute.compile=maybe", "compute.compile: got 'maybe'; want one of auto, true, false"),
        ("shards.image_format=gif", "shards.image_format: got 'gif'; want one of jpeg, png"),
        ("sampler.yaw=3", "sampler.yaw: got '3'; want a list of numbers, as in [0.5, 1.0]"),
        ("sampler.yaw=[3, x]", "sampler.yaw[1]: got 'x'; want a number"),
        (
            "sampler.guidance_interval=[0, 0.5, 1]",
            "sampler.guidance_interval: got [0, 0.5, 1]; want two numbers, as in [0.5, 1.0]",
        ),
        ("utility.seeds=[a]", "utility.seeds[0]: got 'a'; want a whole number"),
        ("identities.quotas=[1]", "identities.quotas: got [1]; want numbers by name"),
        ("identities.quotas.a=b", "identities.quotas.a: got 'b'; want a number"),
        ("plan=5", "plan: got '5'; want a section, as in `plan:` with keys below it"),
        ("plan=[1, 2]", "plan: got [1, 2]; want a section"),
        ("utility.benchmarks=x", "utility.benchmarks: got 'x'; want a list of sections"),
        ("utility.benchmarks=[x]", "utility.benchmarks[0]: got 'x'; want a section"),
        ("training.out=null", "training.out: got nothing; want text"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(refusal, argument, message):
    assert refusal(argument).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("release: {title: {a: b}}", "release.title: got a section; want text"),
        ("release: {title: [a, b]}", "release.title: got [a, b]; want text"),
        ("release: {title: }", "release.title: got nothing; want text"),
        ("plan: [{a: 1}]", "plan: got a list of 1; want a section"),
    ],
)
def test_a_wrong_shape_in_a_file(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml")
    assert str(caught.value).startswith(message)
