"""What a release that is a test set may be, each refusal in one line."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError

BENCHMARK = "release.kind=benchmark"


def test_bins_are_read_with_their_edges():
    config = load(None, [BENCHMARK, "pairs.bins={yaw: [0, 15, 30], light: []}"])
    assert config.pairs.bins == {"yaw": (0.0, 15.0, 30.0), "light": ()}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["pairs.num_pairs=20"], r"^release\.kind: got training with settings of section pairs"),
        ([BENCHMARK, "pairs.num_lookalikes=0"], r"^pairs\.bins: got none"),
        ([BENCHMARK, "pairs.bins={yaw: [15]}"], r"^pairs\.bins\.yaw: got \[15\.0\]; want two"),
        ([BENCHMARK, "pairs.bins={yaw: [9, 9]}"], r"^pairs\.bins\.yaw: got .* that increase"),
        ([BENCHMARK, "pairs.bins={light: [1, 2]}"], r"^pairs\.bins\.light: .* told in words"),
        ([BENCHMARK, "pairs.bins={hue: [1, 2]}"], r"^pairs\.bins\.hue: no such column; want one"),
        ([BENCHMARK, "pairs.lookalike_cosine=[0.6, 0.4]"], r"^pairs\.lookalike_cosine: got \[0\.6"),
        (
            [BENCHMARK, "release.allow_real=true"],
            r"^release\.kind: got benchmark .*allow_real=true",
        ),
        (
            [BENCHMARK, "release.method=edit", "identities.num_virtual=0", "plan.micro_batch=4"],
            r"^release\.kind: got benchmark with release\.method=edit",
        ),
    ],
)
def test_refusals(words, line):
    with pytest.raises(ConfigError, match=line):
        load(None, words)
