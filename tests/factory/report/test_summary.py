"""The last lines that a run prints."""

from __future__ import annotations

from factory.report.summary import summary
from tests.measured import bare_metrics, full_metrics, manifest


def test_a_summary_tells_where_how_many_and_whether_anybody_real_shows():
    text = "\n".join(summary("s3://faces/tiny", manifest().counts, full_metrics()))
    assert "release      s3://faces/tiny" in text
    assert "34 of 42 shots (81.0%); 8 of 42 planned faces are missing" in text
    assert (
        "audit        3 of 40 faces are nearer to somebody of the source than its strangers" in text
    )
    assert "audit        0 of 40 faces are near-copies of source images" in text
    assert "a known person in 75.0% of images (95 % interval 53.0% to 89.0%" in text
    assert "not established" not in text
    assert "0.42 faces/s" in text


def test_without_an_audit_a_summary_says_why():
    lines = summary("runs", manifest().counts, bare_metrics())
    assert "audit        n/a: nobody looked" in lines
    assert "audit        not established: nobody looked" in lines
