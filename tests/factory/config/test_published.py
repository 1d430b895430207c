"""Published rows: each has its source, the corrected ones are so, and sizes read as printed."""

from __future__ import annotations

import pytest

from factory.config.published import PublishedRow, published_rows, short
from factory.errors import ConfigError


def test_every_row_states_a_method_an_average_and_a_source_the_best_first():
    rows = published_rows()
    assert len(rows) > 20
    assert all(row.method and row.source and 50 < row.average < 100 for row in rows)
    averages = [row.average for row in rows]
    assert averages == sorted(averages, reverse=True)
    assert len({(row.method, row.images, row.source) for row in rows}) == len(rows)


def average(method: str, size: str) -> str:
    (row,) = [row for row in published_rows() if (row.method, row.size) == (method, size)]
    return row.shown_average


def test_the_bars_of_each_size():
    """What others reached at .5M, 4M, 6M and 12M images, and at any."""
    assert average("VariFace", "490K") == "94.05"
    assert average("FaceFlow", "500K") == "> 94.00"
    assert average("VFace100K", "100K x 40") == "94.88"
    assert average("VIGFace-L", "120K x 50") == "94.91"
    assert average("VFace300K", "300K x 40") == "94.93"
    assert average("VariFace, any size", "") == "95.67"


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (999, "999"), (10_500, "10.5K"), (490_000, "490K"), (1_200_000, "1.2M")],
)
def test_numbers_in_short(count, text):
    assert short(count) == text


def test_a_recipe_is_told_as_far_as_it_is_stated():
    assert PublishedRow(backbone="IR-SE50", loss="CosFace").recipe == "IR-SE50, CosFace"
    assert PublishedRow(loss="AdaFace").recipe == "AdaFace"
    assert PublishedRow().recipe == "not stated"


def test_a_table_of_ones_own_is_read_and_a_row_without_source_is_not(tmp_path):
    file = tmp_path / "rows.yaml"
    file.write_text(
        "rows:\n- {method: A, average: 91.5, source: B, images: 5000, accuracies: {LFW: 99.1}}\n"
    )
    (row,) = published_rows(file)
    assert (row.size, row.accuracies) == ("5K", {"LFW": 99.1})
    published_rows.cache_clear()
    file.write_text("rows:\n- {method: A, average: 91.5}\n")
    with pytest.raises(ConfigError, match=r"^rows\[0\]\.source in .*rows\.yaml: got none; want"):
        published_rows(file)
    file.write_text("rows:\n- {method: A, average: 191.5, source: B}\n")
    with pytest.raises(ConfigError, match=r"^rows\[0\].average: got 191\.5"):
        published_rows(file)
