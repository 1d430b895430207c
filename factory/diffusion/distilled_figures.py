"""How near a student of few calls is to its teacher, from the same noise.

Shapes: P people, K noises of each, D embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from factory.diffusion.generator_figures import MeasuredFaces, probe_of
from factory.diffusion.trained_generator import TrainedGenerator
from factory.images import to_uint8
from factory.quality.pixels import sharpness_and_brightness
from factory.recognition.embed import Recognizer

NUM_PEOPLE, NUM_NOISES = 32, 4
"""People who are drawn by both, and images of each: spreads need several."""
NO_RATIO = {
    "ratio": None,
    "ratio_note": "n/a: a student answers with the end of a step, not with x0",
}
"""In place of the denoising error of other generators."""


def measure_student(
    student: TrainedGenerator, teacher: TrainedGenerator, given: MeasuredFaces
) -> dict[str, Any]:
    """Metrics `validation`, `probe` (as of any generator) and `distillation`, with its teacher's.

    The teacher draws by UniPC at 12 calls with the guidance that the student has learned, or where
    it is a student itself by its own calls.
    """
    people = given.one_of_each(NUM_PEOPLE)
    unit_ND = people.unit_ND.repeat_interleave(NUM_NOISES, 0)
    x_student, x_teacher = (
        generator.draw_x0(unit_ND, "distilled") for generator in (student, teacher)
    )
    drawn, taught = (
        to_uint8_parts(generator, x0)
        for generator, x0 in ((student, x_student), (teacher, x_teacher))
    )
    facts = {"num_images": len(people.labels), "faces": given.which}
    recognizer = given.networks.recognizer
    return {
        "validation": facts | NO_RATIO,
        "probe": probe_of(given, people, drawn[::NUM_NOISES]),
        "distillation": facts
        | {"num_images": len(drawn)}
        | compare(x_student, x_teacher, drawn, taught, unit_ND.numpy(), recognizer)
        | {"calls": student.num_calls, "teacher_calls": teacher.num_calls},
    }


def to_uint8_parts(generator: TrainedGenerator, x0: torch.Tensor) -> np.ndarray:
    """RGB uint8 [N, H, W, 3] of what was drawn, decoded a few at a time."""
    with torch.inference_mode():
        return np.concatenate([to_uint8(generator.decode(part)) for part in x0.split(NUM_PEOPLE)])


def compare(
    x_student: torch.Tensor,
    x_teacher: torch.Tensor,
    drawn_NHWC: np.ndarray,
    taught_NHWC: np.ndarray,
    unit_ND: np.ndarray,
    recognizer: Recognizer,
) -> dict[str, Any]:
    """Figures of what both drew from the same noise, NUM_NOISES rows of each person in turn.

    `distance`: root mean square difference of x0, as a fraction of the teacher's root mean square
    distance to its own mean. `cosine_to_teacher`: of embeddings of the two images. Of each, with
    the teacher's as `teacher_*`: `own_cosine` to what was asked for, `sharpness` (median variance
    of the Laplacian) and `spread` (standard deviation of pixels over the images of a person).
    """
    units = [recognizer.embed(images) for images in (drawn_NHWC, taught_NHWC)]
    both = (("", drawn_NHWC, units[0]), ("teacher_", taught_NHWC, units[1]))
    figures: dict[str, Any] = {
        "distance": relative_distance(x_student, x_teacher),
        "cosine_to_teacher": float((units[0] * units[1]).sum(1).mean()),
    }
    for name, images, unit in both:
        figures[f"{name}own_cosine"] = float((unit * unit_ND).sum(1).mean())
        figures[f"{name}sharpness"] = float(np.median(sharpness_and_brightness(images)[0]))
        figures[f"{name}spread"] = spread(images, NUM_NOISES)
    return figures


def relative_distance(x: torch.Tensor, of: torch.Tensor) -> float:
    """Root mean square of x - of, over the root mean square distance of `of` to its mean."""
    error = (x.double() - of.double()).square().mean()
    return float((error / (of.double() - of.double().mean(0)).square().mean()).sqrt())


def spread(images_NHWC: np.ndarray, each: int) -> float:
    """Standard deviation of a pixel over the `each` images of a person, in gray levels; the mean.

    Images of a person follow one another.
    """
    of_people = images_NHWC.reshape(-1, each, *images_NHWC.shape[1:]).astype(np.float64)
    return float(of_people.std(1).mean())
