"""The table of what a release teaches."""

from __future__ import annotations

from dataclasses import replace

from factory.evaluation.metrics.utility import GapToReal
from factory.evaluation.metrics.values import Interval
from factory.report.utility import benchmarks, lines, num_seeds, rows
from tests.measured import utility


def test_rows_give_accuracies_and_gaps_to_the_real_set():
    measured = utility()
    assert benchmarks(measured) == ["lfw"]
    assert num_seeds(measured) == 2
    real, release, _ = rows(measured)
    assert real == ["source alone", "12", "4", "91.00 ± 0.10", "91.00 ± 0.10", "", ""]
    assert release[-2:] == ["+4.00", "+4.60 %"]
    assert lines(measured)[0] == "accuracy in % over 2 seeds (lfw)"
    assert len(lines(measured)) == 4


def test_without_a_benchmark_that_could_be_read_there_is_no_average():
    measured = utility()
    unread = {
        name: replace(learned, benchmarks={}, average=None)
        for name, learned in measured.sets.items()
    }
    blind = replace(measured, sets=unread, gap_to_real={})
    assert rows(blind)[0] == ["source alone", "12", "4", "n/a", "", ""]
    assert lines(blind)[0] == "accuracy in % over 2 seeds (no benchmark read)"


def test_intervals_stand_beside_accuracies_and_gaps():
    measured = utility()
    gap = GapToReal(4.0, 4.6, Interval(1.5, 6.5), 3.25)
    real = replace(measured.sets["real"], interval=Interval(0.9, 0.92))
    told = replace(measured, sets=measured.sets | {"real": real}, gap_to_real={"release": gap})
    assert rows(told)[0][4] == "91.00 ± 0.10 (90.00 to 92.00)"
    assert rows(told)[1][-2] == "+4.00 (+1.50 to +6.50)"
    assert lines(told)[-1].endswith("A gap of 3.25 points is seen in 80 %.")
