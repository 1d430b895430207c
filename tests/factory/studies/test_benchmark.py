"""A recognizer on files of pairs: figures by closed form, missing cells, and the average."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from factory.config import BenchmarkConfig, Config, SourceConfig
from factory.errors import ConfigError
from factory.evaluation.metrics.benchmark import AverageAccuracy, Benchmark, SetAccuracy
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.values import NotMeasured
from factory.recognition.resampling import interval
from factory.studies.benchmark import Measured, average_of, benchmark, check

PX = 16


class ByColor:
    """A recognizer that is right where colors say who somebody is."""

    sha256 = "0" * 64
    dim = 3
    image_px = PX
    mirror_sum = "unit"

    def embed_with_mirror(self, images: np.ndarray) -> np.ndarray:
        vectors = images.reshape(len(images), -1, 3).mean(1) - 127.5
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def png(person: int, image: int) -> bytes:
    """A face that is all one color, one for each person, a little darker in each image."""
    color = np.random.default_rng(person).integers(0, 230, 3) + image
    buffer = io.BytesIO()
    Image.fromarray(np.broadcast_to(color, (PX, PX, 3)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_bin(path, num_people: int, wrong: int = 0) -> None:
    """A genuine and an impostor pair of each person; the last `wrong` pairs are labeled falsely."""
    images, same = [], []
    for person in range(num_people):
        images += [png(person, 0), png(person, 1), png(person, 2), png(person + 100, 0)]
        same += [True, False]
    for row in range(1, wrong + 1):
        same[-row] = not same[-row]
    path.write_bytes(pickle.dumps((images, same)))


def config_of(folder, **sets: str) -> Config:
    return Config(
        source=SourceConfig(image_px=PX),
        benchmark=BenchmarkConfig(folder=str(folder), sets=sets),
    )


def test_a_missing_file_is_a_missing_cell_and_then_there_is_no_average(tmp_path):
    write_bin(tmp_path / "one.bin", 40)
    (tmp_path / "bad.bin").write_bytes(b"no pickle")
    said: list[str] = []
    config = config_of(tmp_path, LFW="one.bin", CALFW="none.bin", CPLFW="bad.bin")
    measured = benchmark(config, ByColor(), said.append)
    one = measured.sets["LFW"]
    assert isinstance(one, SetAccuracy)
    assert (one.num_pairs, one.num_folds) == (80, 10)
    assert one.num_people >= 40
    assert one.interval.low <= one.accuracy <= one.interval.high
    assert measured.sets["CALFW"] == NotMeasured("n/a: no such file")
    assert measured.sets["CPLFW"] == NotMeasured("n/a: could not be read")
    assert measured.average == NotMeasured("n/a: 2 of 3 sets are missing")
    assert any("none.bin" in line for line in said)
    assert str(tmp_path) not in str(to_json(measured))
    assert from_json(Benchmark, to_json(measured)) == measured


def test_the_average_is_that_of_the_sets_with_its_own_interval(tmp_path):
    write_bin(tmp_path / "one.bin", 30)
    write_bin(tmp_path / "two.bin", 30, wrong=20)
    config = config_of(tmp_path, A="one.bin", B="two.bin")
    measured = benchmark(config, ByColor(), print)
    one, two = measured.sets.values()
    assert isinstance(measured.average, AverageAccuracy)
    assert measured.average.accuracy == pytest.approx((one.accuracy + two.accuracy) / 2)
    assert two.accuracy < one.accuracy
    width = measured.average.interval.high - measured.average.interval.low
    assert width < (two.interval.high - two.interval.low)
    assert benchmark(config, ByColor(), print) == measured


def test_an_average_of_resamplings_is_taken_resampling_by_resampling():
    figures = SetAccuracy(10, 20, 10, 0.5, 0.0, interval(np.array([0.0, 1.0])))
    up, down = np.linspace(0, 1, 101), np.linspace(1, 0, 101)
    found = average_of([Measured(figures, up), Measured(figures, down)], 2)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.5, 0.5))
    assert average_of([Measured(figures, up)], 1).interval == interval(up)
    few = average_of([Measured(figures, up), Measured(figures, None)], 2)
    assert isinstance(few.interval, NotMeasured)


def test_too_few_people_have_an_accuracy_without_an_interval(tmp_path):
    """Two people with 20 images each: a chain of genuine pairs joins each one's images."""
    steps = [(person, image) for image in range(19) for person in range(2)]
    genuine = [(png(person, image), png(person, image + 1)) for person, image in steps]
    impostor = [(png(0, image), png(1, image)) for _, image in steps]
    images = [i for both in zip(genuine, impostor, strict=True) for pair in both for i in pair]
    (tmp_path / "few.bin").write_bytes(pickle.dumps((images, [True, False] * len(steps))))
    measured = benchmark(config_of(tmp_path, X="few.bin"), ByColor(), print)
    found = measured.sets["X"]
    assert isinstance(found, SetAccuracy)
    assert found.num_people == 2
    assert found.interval == NotMeasured("n/a: fewer than 10 people to resample")
    assert measured.average.interval == found.interval


def test_without_any_file_it_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^benchmark\.sets: got none; want pairs by name"):
        check(config_of(tmp_path))
    with pytest.raises(ConfigError, match=r"^benchmark\.sets: got .*a\.bin.* none is there"):
        check(config_of(tmp_path, A="a.bin", B="b.bin"))
    (tmp_path / "a.bin").write_bytes(b"")
    assert list(check(config_of(tmp_path, A="a.bin", B="b.bin"))) == ["A", "B"]
    with pytest.raises(ConfigError, match=r"^benchmark\.sets: none can be read"):
        benchmark(config_of(tmp_path, A="a.bin", B="b.bin"), ByColor(), print)


def test_an_absolute_path_lies_elsewhere(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    config = config_of("/nowhere", A=str(tmp_path / "a.bin"))
    assert check(config)["A"] == tmp_path / "a.bin"
