"""Figures of generators that are known: perfect, blind, noise, one face for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.generator_figures import (
    LEVELS,
    MeasuredFaces,
    denoising_ratio,
    found,
    measure_generator,
    one_of_each,
    probe,
)
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.trained_generator import TrainedGenerator
from factory.diffusion.uvit import Shape
from tests.conftest import draw_face
from tests.factory.diffusion.conftest import CPU

SCHEDULE = NoiseSchedule(100)
SHAPE = Shape(2, 8, 2, None, 16, 3, 2, 6)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Estimator(torch.nn.Module):
    """A network that knows mean and variance of each channel, or the images themselves."""

    shape = SHAPE

    def __init__(self, prediction: str, x_NCHW: torch.Tensor, *, knows_all: bool = False) -> None:
        super().__init__()
        self._prediction, self._x = prediction, x_NCHW
        self._knows_all, self._next = knows_all, 0

    def forward(self, x_t, t_B, *_conditions):
        a = SCHEDULE.alpha_bar_T[t_B[0]].double()
        mean = self._x.double().mean((0, 2, 3))[:, None, None]
        variance = self._x.double().var((0, 2, 3), correction=0)[:, None, None]
        gain = a.sqrt() * variance / (a * variance + 1 - a)
        x0 = mean + gain * (x_t.double() - a.sqrt() * mean)
        if self._knows_all:
            x0 = self._x[self._next : self._next + len(x_t)].double()
            self._next = (self._next + len(x_t)) % len(self._x)
        noise = (x_t.double() - a.sqrt() * x0) / (1 - a).sqrt()
        v = a.sqrt() * noise - (1 - a).sqrt() * x0
        return {"x0": x0, "epsilon": noise, "v": v}[self._prediction]


class Blind(torch.nn.Module):
    """A network before its first step, which predicts nothing."""

    shape = SHAPE

    def forward(self, x_t, *_conditions):
        return torch.zeros_like(x_t)


def spread(count: int = 96) -> torch.Tensor:
    """Images whose channels have means and deviations of their own."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, 2, 8, 8, generator=draw)
    return x * torch.tensor([0.5, 2.0])[:, None, None] + torch.tensor([3.0, -1.0])[:, None, None]


def ratio(network, prediction, x_NCHW):
    drawing = TrainedGenerator(network, SCHEDULE, prediction, lambda x: x, CPU)
    return denoising_ratio(drawing, x_NCHW, torch.zeros(len(x_NCHW), 6))


@pytest.mark.parametrize("prediction", ["v", "epsilon", "x0"])
def test_who_knows_mean_and_spread_alone_has_a_ratio_of_one(prediction):
    measured = ratio(Estimator(prediction, spread()), prediction, spread())
    assert measured["by_level"] == pytest.approx([1] * len(LEVELS), abs=0.06)  # 12,288 values
    assert measured["ratio"] == pytest.approx(np.mean(measured["by_level"]), abs=1e-5)


def test_who_knows_the_faces_has_a_ratio_of_zero():
    measured = ratio(Estimator("v", spread(), knows_all=True), "v", spread())
    assert measured["ratio"] == pytest.approx(0, abs=1e-6)


def test_an_untrained_network_has_a_ratio_of_one_on_normalized_latents():
    x = spread()
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    assert ratio(Blind(), "v", x)["ratio"] == pytest.approx(1, abs=0.03)


def test_the_right_faces_have_an_auc_of_one_and_the_spread_of_their_people():
    asked, labels = np.eye(4, dtype=np.float32), np.arange(4)
    assert probe(asked, labels, asked) == {
        "own_cosine_median": 1.0,
        "own_auc": 1.0,
        "diversity": 1.0,
    }


def test_one_face_for_all_has_no_diversity_and_an_auc_of_chance():
    asked, labels = unit(np.random.default_rng(0).normal(size=(32, 16))), np.arange(32)
    collapsed = probe(asked, labels, np.repeat(asked.mean(0, keepdims=True), 32, 0))
    same = unit(np.ones((1, 16)))
    assert probe(asked, labels, np.repeat(same, 32, 0))["diversity"] == pytest.approx(0, abs=1e-6)
    assert collapsed["own_auc"] == pytest.approx(0.5, abs=1e-9)  # of each pair one wins


def test_noise_has_an_auc_of_chance():
    rng = np.random.default_rng(1)
    asked, drawn = (unit(rng.normal(size=(32, 64))) for _ in range(2))
    assert probe(asked, np.arange(32), drawn)["own_auc"] == pytest.approx(0.5, abs=0.15)


def test_images_of_one_person_are_nobody_elses():
    """Of two people, the pairs within one do not count: the second face of 0 is no stranger."""
    asked = np.float32([[1, 0], [1, 0], [0, 1]])
    figures = probe(asked, np.array([0, 0, 1]), asked)
    assert (figures["own_auc"], figures["diversity"]) == (1.0, 1.0)
    figures = probe(asked, np.array([0, 0, 1]), np.float32([[1, 0], [0, 1], [0, 1]]))
    assert (figures["own_auc"], figures["diversity"]) == (0.75, 0.5)  # three of four, one of two
    alone = probe(asked[:2], np.array([7, 7]), asked[:2])
    assert (alone["own_auc"], alone["diversity"]) == (None, None)
    assert alone["own_auc_note"] == alone["diversity_note"] == "n/a: all faces are of one person"


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-4])
def test_people_asked_for_by_one_embedding_have_no_diversity(spread):
    """Their distance is rounding, by which that of what was drawn is not to be divided."""
    rng = np.random.default_rng(2)
    asked = unit(unit(rng.normal(size=(1, 64))) + spread * rng.normal(size=(8, 64)) / 8)
    figures = probe(asked, np.arange(8), unit(rng.normal(size=(8, 64))))
    assert figures["diversity"] is None
    assert figures["diversity_note"].startswith("n/a: the embeddings that were asked for are all")
    assert "own_auc_note" not in figures


def test_embeddings_that_are_no_numbers_are_not_called_the_same():
    asked = unit(np.random.default_rng(2).normal(size=(8, 16)))
    for broken in ((asked * np.float32("nan"), asked), (asked, asked * np.float32("nan"))):
        figures = probe(broken[0], np.arange(8), broken[1])
        assert np.isnan(figures["diversity"])  # which no limit allows (acceptance.py)
        assert figures["own_auc"] == 0


def test_people_who_are_little_apart_have_a_diversity():
    rng = np.random.default_rng(2)
    asked = unit(unit(rng.normal(size=(1, 64))) + 0.1 * rng.normal(size=(8, 64)) / 8)
    assert probe(asked, np.arange(8), asked)["diversity"] == pytest.approx(1)


def test_faces_found_are_compared_with_those_found_in_real_images():
    bright = lambda image: image.mean() > 100  # noqa: E731
    images = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (0, 200, 200, 200)])
    assert found(images, images[1:], bright)["found_ratio"] == 0.75
    assert found(images, images[:2], bright)["found_ratio"] == 1.5
    none = found(images, images[:1], bright)
    assert none["found_ratio"] is None
    assert none["found_ratio_note"] == "n/a: the detector finds no face in the images given"
    assert "found_ratio_note" not in found(images, images[:2], bright)


def test_a_probe_asks_for_as_many_people_as_there_are():
    labels = np.array([2, 0, 0, 1, 2, 2])
    assert labels[one_of_each(labels, 3)].tolist() == [0, 1, 2]
    assert labels[one_of_each(labels, 2)].tolist() == [0, 2]
    assert labels[one_of_each(labels, 5)].tolist() == [0, 1, 2, 0, 2]
    assert sorted(one_of_each(labels, 9).tolist()) == [0, 1, 2, 3, 4, 5]


class FewFaces:
    """Faces of as many people."""

    def __init__(self, images_NHWC):
        self.images_NHWC, self.labels = images_NHWC, np.arange(len(images_NHWC))

    def __len__(self):
        return len(self.labels)


class Colors:
    """A recognizer whose embedding is the mean color, less that of all."""

    def embed(self, images_NHWC):
        color_N3 = images_NHWC.reshape(len(images_NHWC), -1, 3).mean(1) - 100
        return unit(color_N3 + 1e-3).astype(np.float32)


class Painter:
    """A generator whose images are given; `stream` is always the probe's."""

    schedule, prediction = SCHEDULE, "v"

    def __init__(self, drawn):
        self._drawn = drawn

    def draw(self, unit_BD, stream):
        assert stream == "probe"
        return self._drawn[: len(unit_BD)]

    def error(self, x_BCHW, unit_BD, t):
        return np.zeros(len(x_BCHW))


def test_a_whole_measurement_catches_noise_and_one_face_for_all():
    """By what a training has at its end: no latents, no detector's face in drawn blobs."""
    right = np.stack([draw_face(person, 0) for person in range(12)])
    noise = np.random.default_rng(0).integers(0, 255, right.shape, np.uint8)
    drawn = {"right": right, "noise": noise, "one": np.repeat(right[:1], 12, 0)}
    probes = {}
    for name, images in drawn.items():
        networks = FrozenNetworks(Colors(), None)
        given = MeasuredFaces(FewFaces(right), "training faces", networks, "image")
        figures = measure_generator(Painter(images), given)
        assert figures["validation"]["ratio"] == 0
        probes[name] = figures["probe"]
    assert probes["right"]["own_auc"] == 1
    assert probes["right"]["diversity"] == pytest.approx(1)
    assert probes["one"]["diversity"] == pytest.approx(0, abs=1e-6)
    assert probes["one"]["own_auc"] == pytest.approx(0.5)
    assert probes["noise"]["own_auc"] == pytest.approx(0.5, abs=0.2)
    assert probes["noise"]["diversity"] < 0.3
    assert probes["right"]["found_ratio"] is None  # the detector finds no face in a blob
