"""The part all training loops share: resume, log, save."""

from __future__ import annotations

import json

import pytest
import torch

from factory.config import BaseTrainingConfig, RecognizerConfig, TrainingConfig
from factory.errors import CheckpointError, ConfigError
from factory.records import Progress
from factory.training import run_state
from factory.training.folder_states import latest_state
from factory.training.run_state import RunState, section_of


def run(out, total, *, losses=None, data="faces", every=1, save_every_s=1e6, **recipe):
    """Steps taken, lines written; each saved state holds its last step."""
    training = TrainingConfig(out=str(out), log_every=every, save_every_s=save_every_s)
    lines, taken, saved = [], [], []
    state = RunState(training, RecognizerConfig(**recipe), data, lines.append)

    def save(folder):
        saved.append(folder.name)
        (folder / "mine.txt").write_text(str(taken[-1] if taken else None))

    for step in state.steps(total, 4, save):
        taken.append(step)
        loss = torch.tensor(float(losses[step] if losses else step))
        state.record(loss, lr=0.5)
    return taken, lines, saved, state


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def test_logs_saves_and_goes_on(tmp_path):
    taken, lines, saved, state = run(tmp_path, 3)
    assert (taken, saved) == ([0, 1, 2], ["step-00000003"])
    assert lines[-1].startswith("step 3/3 loss 1.0000")
    assert state.final_loss == 1.0
    taken, _, saved, state = run(tmp_path, 5)
    assert (taken, saved) == ([3, 4], ["step-00000005"])
    assert state.final_loss == 2.0
    assert [entry["step"] for entry in history(tmp_path)] == [1, 2, 3, 4, 5]
    assert [folder.name for folder in (tmp_path / "resume").glob("step-*")] == ["step-00000005"]
    taken, _, saved, state = run(tmp_path, 5)
    assert (taken, saved, state.final_loss) == ([], [], 2.0)


def test_what_is_saved_is_told_at_the_start_of_an_attempt_and_once_more(tmp_path):
    def progress(*arguments, **settings):
        lines = run(tmp_path, *arguments, **settings)[1]
        return [line for line in lines if Progress.read(line)]

    saved = f"steps of {tmp_path} are saved"
    assert progress(2) == []  # it is whole when it saves
    assert progress(5, save_every_s=0) == [f"resuming: 2 of 5 {saved}", f"progress: 3 of 5 {saved}"]
    assert progress(5) == [f"resuming: 5 of 5 {saved}"]


class Clock:
    """Stands for the module time; it goes on when told."""

    now = 0.0

    def monotonic(self):
        return self.now


def test_a_line_has_rate_learning_rate_gradient_and_time_left(tmp_path, monkeypatch):
    clock, lines = Clock(), []
    monkeypatch.setattr(run_state, "time", clock)
    training = TrainingConfig(out=str(tmp_path), log_every=1)
    state = RunState(training, RecognizerConfig(), "faces", lines.append)
    for step in state.steps(total=3, batch_size=12, save=lambda folder: None):
        clock.now += 3
        state.record(torch.tensor(2.0), lr=0.5 / (step + 1), grad_norm=torch.tensor(1.25))
    assert lines[0] == ("step 1/3 loss 2.0000 lr 5.00e-01 gradient 1.25 4 images/s 0:00:06 left")
    assert lines[2] == "step 3/3 loss 2.0000 lr 1.67e-01 gradient 1.25 4 images/s"
    figures = {"loss": 2.0, "images_per_s": 4.0, "lr": 0.25, "grad_norm": 1.25}
    assert history(tmp_path)[1] == {"step": 2, **figures}


def test_a_gradient_that_is_not_known_is_not_told(tmp_path):
    _, lines, _, _ = run(tmp_path, 1)
    assert "gradient" not in lines[0]
    assert "grad_norm" not in history(tmp_path)[0]


def test_sections_by_recipe():
    assert section_of(RecognizerConfig()) == "recognizer"
    assert section_of(BaseTrainingConfig()) == "base_training"


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
