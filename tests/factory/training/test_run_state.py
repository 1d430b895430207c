"""The part all training loops share: resume, log, save."""

from __future__ import annotations

import json

import pytest
import torch

from factory.config import RecognizerConfig, TrainingConfig
from factory.errors import CheckpointError, ConfigError
from factory.training.run_state import RunState, latest_state


def run(out, total, *, losses=None, data="faces", every=1, save_every_s=1e6, **recipe):
    """Steps taken, lines said; each saved state holds its last step."""
    training = TrainingConfig(out=str(out), log_every=every, save_every_s=save_every_s)
    lines, taken, saved = [], [], []
    progress = RunState(training, RecognizerConfig(**recipe), data, lines.append)

    def save(folder):
        saved.append(folder.name)
        (folder / "mine.txt").write_text(str(taken[-1] if taken else None))

    for step in progress.steps(total, 4, save):
        taken.append(step)
        progress.record(torch.tensor(float(losses[step] if losses else step)))
    return taken, lines, saved, progress


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def test_logs_saves_and_goes_on(tmp_path):
    taken, lines, saved, progress = run(tmp_path, 3)
    assert (taken, saved) == ([0, 1, 2], ["step-00000003"])
    assert lines[-1].startswith("step 3/3 loss 1.0000")
    assert progress.final_loss == 1.0
    taken, _, saved, progress = run(tmp_path, 5)
    assert (taken, saved) == ([3, 4], ["step-00000005"])
    assert progress.final_loss == 2.0
    assert [entry["step"] for entry in history(tmp_path)] == [1, 2, 3, 4, 5]
    assert [folder.name for folder in (tmp_path / "resume").glob("step-*")] == ["step-00000005"]
    taken, _, saved, progress = run(tmp_path, 5)
    assert (taken, saved, progress.final_loss) == ([], [], 2.0)


def test_a_state_is_written_once_and_never_over_half_of_another(tmp_path):
    _, _, saved, _ = run(tmp_path, 2, save_every_s=0.0)
    assert saved == ["step-00000001", "step-00000002"]
    half = tmp_path / "resume" / "step-00000003"
    half.mkdir()
    (half / "of-a-dead-rank").touch()
    run(tmp_path, 3)
    assert sorted(file.name for file in half.iterdir()) == ["mine.txt", "progress.json"]


def test_a_training_of_no_steps_has_a_state(tmp_path):
    run(tmp_path, 0)
    assert latest_state(tmp_path).name == "step-00000000"


def test_what_was_logged_after_the_resumed_state_is_forgotten(tmp_path):
    run(tmp_path, 2)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 9}\n{"step": 4, "lo')
    run(tmp_path, 3)
    assert [entry["step"] for entry in history(tmp_path)] == [1, 2, 3]


def test_a_loss_that_is_no_number_keeps_the_state_before_it(tmp_path):
    nan = [1.0, 1.0, float("nan"), 1.0]
    with pytest.raises(ConfigError, match=r"^recognizer\.lr: the loss is not a number at step 3"):
        run(tmp_path, 4, losses=nan, every=100, save_every_s=0.0)
    assert latest_state(tmp_path).name == "step-00000002"


@pytest.mark.parametrize("change", [{"data": "other faces"}, {"lr": 0.01}])
def test_another_training_is_refused(tmp_path, change):
    run(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"training\.out: .* other settings or faces"):
        run(tmp_path, 2, **change)
    assert run(tmp_path, 2, checkpoint="elsewhere")[0] == [1]  # it is not of the recipe
