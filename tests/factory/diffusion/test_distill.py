"""A student is trained beside its teacher, resumes exactly, and tells what it is."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import DistillationConfig
from factory.diffusion import distill as training
from factory.diffusion.distill import check_teacher, distill, frozen_teacher
from factory.diffusion.distilled_figures import relative_distance, spread
from factory.diffusion.sampler import sample
from factory.diffusion.trained_generator import TrainedGenerator
from factory.diffusion.uvit import UViT
from factory.errors import CheckpointError, ConfigError
from tests.conftest import save
from tests.factory.diffusion.conftest import CPU, quiet
from tests.recorded import record_batches

WHOLE = ("training.max_steps=12", "distillation.batch_size=12")
TEACHER = {"prediction": "v", "num_timesteps": 100}


@pytest.fixture
def student(recipe, weights, tmp_path):
    """Function of extra dotlist items -> the config of a distillation of some steps."""

    def make(*dotlist):
        return recipe(
            "source.license=CC0-1.0",
            f"distillation.teacher={weights / 'generator'}",
            "distillation.batch_size=6",
            "distillation.num_steps=2",
            "distillation.substeps=2",
            "distillation.warmup_steps=0",
            "training.max_steps=4",
            *dotlist,
        )

    return make


@pytest.mark.parametrize("inputs", ["noised", "drawn"])
def test_a_student_comes_nearer_and_says_what_it_was_distilled_to(
    student, weights, tmp_path, inputs
):
    settings = (f"distillation.inputs={inputs}", "distillation.lr=3e-3", "distillation.epochs=20")
    metrics = distill(student(*settings, "training.max_steps=1", "distillation.lr=0"), quiet)
    before = metrics["distillation"]
    shutil.rmtree(tmp_path / "out")
    metrics = distill(student(*settings, "training.max_steps=40"), quiet)
    after = metrics["distillation"]
    assert after["distance"] < 0.8 * before["distance"]
    assert (after["calls"], after["teacher_calls"]) == (2, 24)
    assert after["num_images"] == metrics["probe"]["num_images"] * 4
    teacher = checkpoint.read_metadata(str(weights / "generator"), "generator", "k")
    made = checkpoint.read_metadata(str(tmp_path / "out"), "generator", "k")
    facts = made["config"].pop("distilled")
    assert facts == {
        "num_steps": 2,
        "guidance": 1.5,
        "substeps": 2,
        "solver": "dpmpp_2m",
        "inputs": inputs,
    }
    assert made["config"] == teacher["config"]
    assert made["lineage"] == teacher["lineage"] | {"teacher": teacher["sha256"]}
    own, *ancestors = made["provenance"]
    assert own["trained_with"]["teacher"] == teacher["sha256"]
    assert teacher["sha256"] in {record["sha256"] for record in ancestors}
    assert made["metrics"]["validation"]["ratio"] is None


def test_what_a_teacher_learned_from_is_told_of_its_student(student, weights, tmp_path):
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    learned = {
        "kind": "folder",
        "fingerprint": "f",
        "num_images": 9,
        "num_people": 3,
        "real_people": True,
        "license": "CC-BY-NC-4.0",
    }
    record = {"role": "generator", "sha256": "", "learned_from": [learned], "trained_with": {}}
    told = checkpoint.Checkpoint(
        "generator", plain.tensors, plain.config, 1, {}, plain.lineage, "", [record]
    )
    checkpoint.save(tmp_path / "told", told)
    distill(student(f"distillation.teacher={tmp_path / 'told'}"), quiet)
    made = checkpoint.read_metadata(str(tmp_path / "out"), "generator", "k")
    sources = [one["license"] for record in made["provenance"] for one in record["learned_from"]]
    assert sources == ["CC0-1.0", "CC-BY-NC-4.0"]


def test_resume_gives_the_same_weights(student, tmp_path):
    def weights(name, *stops):
        settings = ["distillation.decay_fraction=0", f"training.out={tmp_path / name}"]
        for steps in stops:
            distill(student(f"training.max_steps={steps}", *settings), quiet)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("whole", 4) == weights("parts", 1, 4)


def test_a_resume_with_another_teacher_is_refused(student, weights, tmp_path):
    distill(student("training.max_steps=1"), quiet)
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    other = {name: tensor + 0.01 for name, tensor in plain.tensors.items()}
    save(tmp_path / "other", "generator", other, plain.config, plain.lineage)
    with pytest.raises(CheckpointError, match=r"^training\.out: .* \(teacher: "):
        distill(student(f"distillation.teacher={tmp_path / 'other'}"), quiet)


def test_a_student_begins_as_its_teacher_and_learns_both_views_of_faces(student, monkeypatch):
    """Without a rate to learn by, the weights are the teacher's; half of the faces are mirrored."""
    config = student("distillation.lr=0", "distillation.epochs=12", *WHOLE)
    with monkeypatch.context() as patched:
        recorded = record_batches(patched, training, "DistillationLoss")
        distill(config, quiet)
    teacher = checkpoint.load(config.distillation.teacher, "generator", "k")
    made = checkpoint.load(config.training.out, "generator", "k")
    for name, tensor in teacher.tensors.items():
        torch.testing.assert_close(made.tensors[name], tensor)
    views = torch.unique(recorded.all("x_BCHW").flatten(1), dim=0)
    assert len(views) == 2 * 12
    torch.testing.assert_close(recorded.all("identity_BD").norm(dim=1), torch.ones(144))
    stages = recorded.all("stage_B")
    assert [int((stages == stage).sum()) for stage in (0, 1)] == [72, 72]


def test_a_teacher_of_another_autoencoder_is_refused(student, weights, tmp_path):
    plain = checkpoint.load(str(weights / "generator"), "generator", "k")
    lineage = plain.lineage | {"autoencoder": "0" * 64}
    save(tmp_path / "other", "generator", plain.tensors, plain.config, lineage)
    with pytest.raises(CheckpointError, match=r"^autoencoder\.checkpoint: has sha256"):
        distill(student(f"distillation.teacher={tmp_path / 'other'}"), quiet)


@pytest.mark.parametrize(
    ("settings", "teacher", "message"),
    [
        (
            {"num_steps": 4, "substeps": 26},
            TEACHER,
            r"^distillation\.substeps: got 26 .* at most the teacher's 100 timesteps",
        ),
        ({}, TEACHER | {"prediction": "epsilon"}, r"^distillation\.teacher: .* estimates epsilon"),
        (
            {"num_steps": 4, "substeps": 4},
            TEACHER | {"distilled": {"num_steps": 8, "guidance": 1.5}},
            r"^distillation\.substeps: got 4 .* a teacher of 8 calls; want a product of 8",
        ),
        (
            {"num_steps": 4, "substeps": 2, "guidance": 2.0},
            TEACHER | {"distilled": {"num_steps": 8, "guidance": 1.5}},
            r"^distillation\.guidance: got 2 with a teacher that has learned 1\.5; want the same",
        ),
    ],
)
def test_steps_that_cannot_be_merged_are_refused(settings, teacher, message):
    with pytest.raises(ConfigError, match=message):
        check_teacher(DistillationConfig(**settings), teacher)


def test_a_student_as_teacher_is_asked_without_guidance(weights):
    """Progressive distillation: two of its steps become one, guidance is in it already."""
    loaded = checkpoint.load(str(weights / "generator"), "generator", "k")
    recipe = DistillationConfig(num_steps=4, substeps=2)
    assert frozen_teacher(loaded, recipe, CPU, "fp32").guidance == 1.5
    loaded.config["distilled"] = {"num_steps": 8, "guidance": 1.5}
    check_teacher(recipe, loaded.config)
    teacher = frozen_teacher(loaded, recipe, CPU, "fp32")
    assert teacher.guidance == 1
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert not teacher.network.training


def test_a_student_draws_with_its_own_calls(weights):
    """One plain call a step on its grid: DDIM of the bare conditional network."""
    loaded = checkpoint.load(str(weights / "generator"), "generator", "k")
    network = UViT.from_checkpoint(loaded.config, loaded.tensors)
    calls = []
    drawing = TrainedGenerator.of(
        network.shape, network.state_dict(), ("v", 100), lambda x: x, CPU, num_distilled=4
    )
    drawing.network.register_forward_pre_hook(lambda _, given: calls.append(given))
    unit = torch.eye(network.shape.embedding_dim)[:3]
    x0 = drawing.draw_x0(unit, "any")
    assert [(len(given[0]), int(given[1][0])) for given in calls] == [
        (3, 99),
        (3, 74),
        (3, 49),
        (3, 24),
    ]
    plain = TrainedGenerator.of(
        network.shape, network.state_dict(), ("v", 100), lambda x: x, CPU, guidance=1.0
    )

    def denoise(x_t, t):
        output = network(x_t, torch.full((3,), t), unit)
        return plain.schedule.x0_at(output, x_t, t, "v")

    with torch.no_grad():
        wanted = sample("ddim", denoise, calls[0][0], plain.schedule, 4)
    torch.testing.assert_close(x0, wanted)
    assert (drawing.num_calls, plain.num_calls) == (4, 12)


def test_distance_and_spread_are_what_they_say():
    teacher = 7 + torch.tensor([1.0, -1.0, 3.0, -3.0]).view(4, 1, 1, 1)  # variance 5
    assert relative_distance(teacher + 0.5, teacher) == pytest.approx(0.5 / 5**0.5)
    assert relative_distance(teacher, teacher) == 0
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[1], images[2], images[3] = 20, 100, 140  # deviations 10 and 20 about each person's mean
    assert spread(images, 2) == pytest.approx(15)
