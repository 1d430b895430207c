"""Tables of quality as OFIQ writes them, joined by the keys of images."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import QualityConfig
from factory.errors import ConfigError, SourceError
from factory.recognition.image_quality import PairQuality
from factory.recognition.pairs import Pairs
from factory.recognition.quality_table import read_quality

HEAD = "Filename;Sharpness;UnifiedQualityScore;Sharpness.scalar;UnifiedQualityScore.scalar;\n"
"""As OFIQSampleApp writes it: the header ends with a separator, rows do not."""
OFIQ = (
    HEAD + "/data/faces/Ada/Ada_0001.jpg;-3;24.556244;20;67\n"
    "/data/faces/Ada/Ada_0002.jpg;0;0;-1;-1\n"
    "/data/faces/Zo\u00eb Li/Zo\u00eb Li_0001.png;-3;12.5;20;15\n"
)
KEYS = ["Ada/Ada_0001", "Zo\u00eb Li/Zo\u00eb Li_0001", "Ada/Ada_0002", "Ada/Ada_0001"]


@pytest.fixture
def table(tmp_path):
    """Function of a text and further settings -> section quality with that table."""

    def write(text: str, **settings) -> QualityConfig:
        (tmp_path / "ofiq.csv").write_text(text, encoding="utf-8")
        return QualityConfig(table=str(tmp_path / "ofiq.csv"), **settings)

    return write


def test_a_table_of_ofiq_is_joined_by_the_end_of_its_names(table):
    found = read_quality(table(OFIQ), KEYS)
    np.testing.assert_array_equal(found, [67, 15, np.nan, 67])
    native = read_quality(table(OFIQ, column="UnifiedQualityScore"), KEYS)
    np.testing.assert_array_equal(native, [24.556244, 12.5, 0, 24.556244])


def test_other_separators_names_and_spellings_do(table):
    commas = OFIQ.replace(";\n", "\n").replace(";", ",").replace("/data/faces/", ".\\")
    composed = commas.replace("\u00eb", "e\u0308").replace("/Ada_", "\\Ada_")
    np.testing.assert_array_equal(read_quality(table(composed), KEYS), [67, 15, np.nan, 67])
    bin_file = "Filename;UnifiedQualityScore.scalar\n000000.png;3\nx/000001.png;4\n"
    assert read_quality(table(bin_file), ["000001", "000000"]).tolist() == [4, 3]


def test_the_same_row_twice_is_one_and_others_are_not_looked_at(table):
    doubled = OFIQ + "/old/Ada/Ada_0001.jpg;1;1;1;67\nEve/Eve_0001.jpg;1;1;1;2\n"
    assert read_quality(table(doubled), KEYS)[0] == 67


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (OFIQ.replace("Ada_0002", "Ada_0003"), r"no row of 1 of 3 images"),
        (OFIQ + "Ada/Ada_0001.jpg;1;1;1;2\n", r"rows of different quality for 1 of 3 images"),
        (OFIQ.replace(";67", ";good"), r"line 2 has no number in column 5"),
        (OFIQ.replace(";67", ";nan"), r"line 2 has no number in column 5"),
        (OFIQ.replace("Filename", "File"), r"quality\.table: .* no column 'Filename'"),
        (OFIQ.replace("Score.scalar", "Score.native"), r"quality\.column: .* no column 'Unified"),
        (OFIQ + ";;\n" + "a.jpg;;\n", r"line 6 column 4 .* is missing"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line_without_a_name(table, text, line):
    with pytest.raises(SourceError, match=line) as told:
        read_quality(table(text), KEYS)
    assert len(str(told.value).splitlines()) == 1
    assert "Ada" not in str(told.value)


def test_quality_is_told_by_a_table_a_network_or_nobody(table, tmp_path):
    pairs = Pairs(np.empty(0), np.array([True, False]), keys=tuple(KEYS))
    config = table(OFIQ)
    measured = PairQuality(config, pairs, None)
    assert measured.name == "ofiq.csv, UnifiedQualityScore.scalar"
    np.testing.assert_array_equal(measured.measure(), [67, 15, np.nan, 67])
    nobody = PairQuality(QualityConfig(), pairs, None)
    assert (nobody.name, nobody.measure()) == ("", None)
    both = QualityConfig(table=config.table, model="x.onnx")
    with pytest.raises(ConfigError, match=r"quality\.table: got .* beside quality\.model='x"):
        PairQuality(both, pairs, None)
