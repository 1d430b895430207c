"""A pipeline is checked whole before anything is made, and says what it has too little of."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.errors import CheckpointError, ConfigError, SourceError
from jobs._arguments import parse
from jobs.pipeline import JOB

RECIPE = "configs/photographs.yaml"


@pytest.fixture
def dry(monkeypatch, tmp_path, people):
    """Function of words -> runs the photographs recipe dry on the drawn people."""
    monkeypatch.chdir(tmp_path)
    Path("configs").symlink_to(Path(__file__).parents[2] / "configs")

    def run(*words: str) -> None:
        given = [f"source.path={people}", "source.license=CC0-1.0", "source.image_px=32"]
        judge = ["judge.checkpoint=starter:judge"]
        JOB.run(parse(JOB, [RECIPE, *given, *judge, *words, "--dry-run"]))

    return run


def test_a_dry_run_checks_all_stages_and_warns(dry, capsys, tmp_path):
    dry("--budget", "30m")
    *warnings, last = capsys.readouterr().out.splitlines()
    assert last == "checked the configs of 4 stages"
    assert len(warnings) == 2  # the recognizer has the starter's people too
    assert all(line.startswith("warning: ") for line in warnings)
    assert [p.name for p in tmp_path.iterdir()] == ["configs"]


@pytest.mark.parametrize(
    ("words", "kind", "error"),
    [
        (["--budget", "soon"], ConfigError, r"^--budget: got 'soon'"),
        (["source.path=nowhere"], SourceError, r"^source\.path: no such"),
        (["recognizer=dlib"], ConfigError, r"^recognizer: got 'dlib'"),
        (["recognizer=nonexist"], CheckpointError, r"^recognizer\.checkpoint: 'nonexist'"),
        (["generator.num_heads=7"], ConfigError, r"^generator\.num_heads: got 7"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_made(dry, words, kind, error, tmp_path):
    with pytest.raises(kind, match=error):
        dry(*words)
    assert [p.name for p in tmp_path.iterdir()] == ["configs"]
