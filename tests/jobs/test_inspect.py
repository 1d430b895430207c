"""`python -m jobs inspect`: what it prints, writes and ends with."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from jobs.inspect import JOB
from tests.conftest import draw_face


@pytest.fixture
def folder(tmp_path):
    """Three drawn people of two images, 32 px."""
    for person in range(3):
        (tmp_path / f"set/p{person}").mkdir(parents=True)
        for image in range(2):
            Image.fromarray(draw_face(person, image)).save(tmp_path / f"set/p{person}/{image}.png")
    return tmp_path


def run(*words) -> int:
    with pytest.raises(SystemExit) as end:
        JOB.main([str(word) for word in words])
    return end.value.code


def test_it_writes_a_page_and_json_and_prints_a_summary(folder, capsys):
    out = folder / "out"
    assert run(folder / "set", "--out", out, "--judge", "none") == 0
    printed = capsys.readouterr().out
    assert "contents     3 people, 6 images, 6 of 6 images looked at" in printed
    assert f"page         {out}/index.html (" in printed
    assert json.loads((out / "inspect.json").read_text())["contents"]["images"] == 6
    assert (out / "index.html").read_text().startswith("<!doctype html>")


def test_strict_ends_with_1_where_something_was_found(folder):
    words = (folder / "set", "--out", folder / "out", "--judge", "none")
    assert run(*words) == 0
    assert run(*words, "--strict") == 1, "three people are few"


def test_no_license_is_asked_for_and_a_config_may_be_given(folder, capsys):
    (folder / "c.yaml").write_text(
        "source:\n  license: ???\n  image_px: 32\njudge:\n  checkpoint:\n"
    )
    assert run(folder / "set", folder / "c.yaml", "--out", folder / "out") == 0
    assert "no judge was asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "error: 'nowhere': no such file or folder; check the path"),
        (["starter", "--sample", "0"], "error: --sample: got 0"),
        (["starter", "--judge", "nobody"], "error: judge.checkpoint: 'nobody'"),
        (["starter", "source.kind=folder"], "error: source.path"),
        (["starter", "--out", "/dev/null/x"], "error: --out"),
        (["starter", "--against", "nowhere"], "error: 'nowhere': no such file or folder"),
    ],
)
def test_bad_input_is_one_line(words, line):
    message = run(*words)
    assert message.startswith(line)
    assert "\n" not in message
