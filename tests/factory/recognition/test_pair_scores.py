"""Scores of pairs come back as they were written, and only one file names anybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from factory.errors import SourceError
from factory.recognition.pair_scores import (
    GENUINE,
    IMPOSTOR,
    PairScores,
    read_parquet,
    read_pyeer,
    scores_of,
    to_csv,
    to_parquet,
    to_pyeer,
)
from factory.recognition.pairs import Pairs
from factory.store.parquet import table_to_parquet

KEYS = ("Ada/Ada_0001", "Ada/Ada_0002", "Ada/Ada_0001", "Zoë Li/Zoë Li_0001")
PEOPLE = ("Ada", "Ada", "Ada", "Zoë Li")


def two_pairs() -> PairScores:
    return PairScores(
        cosine_N=np.array([1 / 3, -1e-17]),
        same_N=np.array([True, False]),
        keys=KEYS,
        people=PEOPLE,
        acquired_2N=np.ones(4, bool),
        fold_N=np.array([0, 1], np.int32),
        quality_N2=np.array([[1.5, -2.0], [0.25, 7.0]]),
    )


def same(one: PairScores, other: PairScores) -> None:
    assert (one.keys, one.people) == (other.keys, other.people)
    for name in ("cosine_N", "same_N", "acquired_2N", "fold_N", "quality_N2"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_parquet_comes_back_to_the_bit(tmp_path):
    file = tmp_path / "scores.parquet"
    unknown = replace(two_pairs(), people=(None,) * 4, fold_N=None, quality_N2=None)
    lost = replace(
        two_pairs(),
        cosine_N=np.array([np.nan, 0.5]),
        acquired_2N=np.array([True, False, True, True]),
    )
    for scores in (two_pairs(), unknown, lost):
        file.write_bytes(to_parquet(scores))
        same(read_parquet(file), scores)
    assert to_parquet(two_pairs()) == to_parquet(two_pairs())


@pytest.mark.parametrize("data", [b"", b"PAR1 no", table_to_parquet(pa.table({"cosine": [1.0]}))])
def test_other_files_are_refused(data, tmp_path):
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(SourceError, match=r"x\.parquet: (is no Parquet file|has other columns)"):
        read_parquet(tmp_path / "x.parquet")


def test_pyeers_files_hold_a_score_a_line_by_kind(tmp_path):
    files = to_pyeer(two_pairs())
    assert files == {GENUINE: b"0.3333333333333333\n", IMPOSTOR: b"-1e-17\n"}
    for name, scores in ((GENUINE, [1 / 3]), (IMPOSTOR, [-1e-17])):
        (tmp_path / name).write_bytes(files[name])
        assert read_pyeer(tmp_path / name).tolist() == scores


def test_pyeers_reader_takes_the_last_of_any_columns_and_names_a_bad_line(tmp_path):
    file = tmp_path / "g.txt"
    file.write_text("a b .5\n\n-2\n")
    assert read_pyeer(file).tolist() == [0.5, -2.0]
    file.write_text(".5\nAda Ada\n")
    with pytest.raises(SourceError, match=r"scores: .*g\.txt line 2 has no number") as told:
        read_pyeer(file)
    assert "Ada" not in str(told.value)


def test_csv_is_of_three_columns_and_leaves_lost_pairs_out():
    assert to_csv(two_pairs()) == b"same,cosine,fold\n1,0.3333333333333333,0\n0,-1e-17,1\n"
    lost = replace(two_pairs(), acquired_2N=np.array([True] * 3 + [False]), fold_N=None)
    assert to_csv(lost) == b"same,cosine,fold\n1,0.3333333333333333,\n"
    assert to_pyeer(lost)[IMPOSTOR] == b""


def test_nobody_is_named_outside_the_parquet():
    for data in (to_csv(two_pairs()), *to_pyeer(two_pairs()).values()):
        assert b"Ada" not in data
        assert "Zoë".encode() not in data
    assert b"Ada" in to_parquet(two_pairs())


def test_scores_are_cosines_with_folds_and_an_image_without_a_vector_is_lost():
    unit = np.array([[1, 0], [0.6, 0.8], [1, 0], [0, 1], [0, 1], [0, 1], [np.nan, 0], [1, 0]])
    flags = np.array([True, False, True, False])
    scores = scores_of(unit, Pairs(np.empty(0), flags, 2), np.arange(8))
    np.testing.assert_allclose(scores.cosine_N[:3], [0.6, 0, 1])
    assert scores.is_scored_N.tolist() == [True, True, True, False]
    assert scores.fold_N is not None
    assert scores.fold_N.tolist() == [0, 0, 1, 1]
    assert scores.keys == tuple(f"00000{i}" for i in range(8))
    assert scores.people == (None,) * 8
    assert scores.quality_N2 is not None
    assert scores.quality_N2.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert scores_of(unit, Pairs(np.empty(0), flags, 3)).fold_N is None


def test_people_are_numbered_and_a_pair_of_unknown_ones_is_a_unit():
    scores = replace(two_pairs(), people=("b", "b", "b", "a"))
    assert [part.tolist() for part in scores.units()[:2]] == [[0, 0], [0, 1]]
    assert scores.units()[2] == 2
    unknown = replace(two_pairs(), people=(None,) * 4)
    assert [part.tolist() for part in unknown.units()[:2]] == [[0, 1], [0, 1]]
    assert unknown.units()[2] == 2
