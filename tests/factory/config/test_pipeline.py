"""A pipeline names its stages once, and only those before."""

from __future__ import annotations

import pytest

from factory.config import load_pipeline
from factory.errors import ConfigError


@pytest.fixture
def pipeline(tmp_path):
    """Function of stages as YAML -> the pipeline."""
    (tmp_path / "c.yaml").write_text("{}\n")

    def make(*stages: str):
        text = ", ".join(stage.replace("C", str(tmp_path / "c.yaml")) for stage in stages)
        (tmp_path / "p.yaml").write_text(f"stages: [{text}]\n")
        return load_pipeline(tmp_path / "p.yaml", ["name=mine"])

    return make


def test_stages_in_their_order(pipeline):
    loaded = pipeline("{name: a, config: C}", "{name: b, config: C, set: ['x={a}']}")
    assert [stage.name for stage in loaded.stages] == ["a", "b"]
    assert (loaded.name, loaded.stages[1].set) == ("mine", ("x={a}",))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages: got none"),
        (["{name: a, config: C}", "{name: a, config: C}"], r"stages\[1\].name: got 'a'"),
        (["{name: a b, config: C}"], r"stages\[0\].name: got 'a b'"),
        (["{name: a, config: none.yaml}"], r"stages\[0\].config: no such file 'none.yaml'"),
        (["{name: a, config: C, set: ['x={b}']}"], r"stages\[0\]: 'x=\{b\}' names 'b'"),
        (["{name: a, config: C, job: utility}"], r"stages\[0\]: '\{release\}' names 'release'"),
        (
            ["{name: a, config: C}]\nstore: {part_bytes: 1} #"],
            "store.part_bytes: got 1; want 5242880",
        ),
    ],
)
def test_refusals(pipeline, stages, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        pipeline(*stages)
