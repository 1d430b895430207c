"""`plan` estimates, and with --dry-run it only checks."""

from __future__ import annotations

from jobs.plan import plan


def test_a_dry_run_stops_before_the_estimate(release_config, capsys):
    config = release_config("estimate.face_bytes=1000")
    plan(config, True)
    checked = capsys.readouterr().out
    plan(config, False)
    estimated = capsys.readouterr().out
    assert checked.startswith("release      ")
    assert estimated.startswith(checked)
    assert "shots        12 in 3 shards" in estimated.removeprefix(checked)
