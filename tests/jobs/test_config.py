"""`python -m jobs config` and --print-config, as a newcomer meets them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from factory.config import ClaimConfig, load
from factory.config.reference import json_schema
from jobs import claim, config, release


def test_sections_one_section_one_key(capsys):
    config.JOB.main([])
    assert "  sampler " in capsys.readouterr().out
    config.JOB.main(["sampler"])
    assert "  sampler.kind = unipc   one of ddim, dpmpp_2m" in capsys.readouterr().out
    config.JOB.main(["sampler.guidance", "micro_batch"])
    printed = capsys.readouterr().out
    assert "sampler.kind" not in printed
    assert "  plan.micro_batch = 16   a whole number, at least 1, or null\n" in printed
    with pytest.raises(SystemExit) as caught:
        config.JOB.main(["samplr"])
    assert caught.value.code == "error: samplr: no such section or key; did you mean sampler?"


def test_the_schema(capsys):
    config.JOB.main(["--schema", "claim"])
    assert json.loads(capsys.readouterr().out) == json_schema(ClaimConfig)
    with pytest.raises(SystemExit) as caught:
        config.JOB.main(["--schema", "x"])
    assert "--schema: invalid choice: 'x'" in caught.value.code


def test_a_printed_config_is_whole_and_nothing_is_run(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("release: {version: '1.10'}\n")
    job = dataclasses.replace(release.JOB, action=lambda **_: pytest.fail("it was run"))
    job.main([str(file), "plan.micro_batch=3", "--print-config"])
    (tmp_path / "whole.yaml").write_text(capsys.readouterr().out)
    assert load(tmp_path / "whole.yaml") == load(file, ["plan.micro_batch=3"])


def test_several_claims_are_printed_as_documents(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"finding: {name}\nnot_yet: why\n")
    claim.JOB.main([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "--print-config"])
    one, other = capsys.readouterr().out.split("---\n")
    assert one.startswith("finding: a\n")
    assert other.startswith("finding: b\n")
