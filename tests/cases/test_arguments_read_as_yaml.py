"""A text is what was typed: `source.path=set #2` is no comment, 010 is not 8, yes is no boolean."""

from __future__ import annotations

import pytest

from factory.config import load

RECIPE = "configs/recognizer/mini.yaml"
NAMES = ["set #2", "010", "2024_01", "yes", "off", "1e3", "0x10", "1.10", "12:30:00", "2026-11-27"]
NAMES += ["a: b", "[1]", "{a}", "~x", "&a", "*a", "!t", "%x", "@x", "x=y", "- x", "'", "Null.d"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_found_whatever_yaml_would_read_in_its_name(name, tmp_path):
    assert load(RECIPE, [f"source.path={name}", "source.license=CC0-1.0"]).source.path == name
    file = tmp_path / "release.yaml"
    file.write_text("{}\n")
    assert load(file, [f"audit.embeddings_dir={name}"]).audit.embeddings_dir == name


def test_the_folder_that_was_named_is_learned_and_not_another(
    faces, run_job, tmp_path, monkeypatch
):
    for name, people in (("set #2", 2), ("set", 3), ("010", 2), ("8", 3)):
        faces(tmp_path / name, people, 2)
    for name in ("set #2", "010"):
        words = [RECIPE, "source.license=CC0-1.0", "source.holdout_identities=0"]
        code, said = run_job(
            "train_recognizer", *words, f"source.path={tmp_path / name}", "--dry-run"
        )
        assert code == 0, said
        assert "4 images of 2 people" in said


def test_a_training_lands_where_it_was_sent(faces, run_job, tmp_path):
    faces(tmp_path / "set", 3, 2)
    tiny = ["training.max_steps=1", "recognizer.num_virtual=4", "recognizer.batch_size=4"]
    words = [RECIPE, "source.license=CC0-1.0", "source.holdout_identities=0", *tiny]
    words += [f"source.path={tmp_path / 'set'}", f"training.out={tmp_path / 'run #1'}"]
    code, said = run_job("train_recognizer", *words)
    assert code == 0, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run #1", "set"]


@pytest.mark.parametrize("typed", ["010", "2024_01", "yes", "1e3", "1.10"])
def test_texts_in_lists_and_below_keys_are_taken_as_typed(typed, tmp_path):
    file = tmp_path / "release.yaml"
    file.write_text(f"base_training: {{tables: [{typed}, '#2']}}\n")
    assert load(file).base_training.tables == (typed, "#2")
    words = [
        f"base_training.tables=[{typed}, '#2']",
        f"utility.benchmarks=[{{kind: folder, path: {typed}, pairs: p}}]",
    ]
    config = load(file, [*words, f"utility.benchmarks[0].landmarks={typed} #2"])
    assert config.base_training.tables == (typed, "#2")
    assert config.utility.benchmarks[0].path == typed
    assert config.utility.benchmarks[0].landmarks == f"{typed} #2"


def test_dry_run_may_stand_between_arguments(faces, run_job, tmp_path):
    faces(tmp_path / "set", 2, 2)
    words = ["source.license=CC0-1.0", f"source.path={tmp_path / 'set'}"]
    for place in range(4):
        mixed = [RECIPE, *words, "source.holdout_identities=0"]
        mixed.insert(place, "--dry-run")
        code, said = run_job("train_recognizer", *mixed)
        assert code == 0, said
        assert "4 images of 2 people" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source:\n  path: a\n  path: b\n", "source.path: given again in {file}, line 3; want it"),
        (
            "training:\n  seed: 1\nsource:\n  path: a\ntraining:\n  seed: 2\n",
            "line 5; want it once",
        ),
        ("source:\n\tpath: a\n", "{file}, line 2: a tab stands where YAML wants spaces"),
        ("source:\n  path: a\n\tkind: b\n", "{file}, line 3: "),
    ],
)
def test_doubled_keys_and_tabs_are_named_with_their_line(text, line, run_job, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    code, said = run_job("train_recognizer", file, "--dry-run")
    assert code == 1
    assert line.format(file=file) in said
    assert len(said.strip().splitlines()) == 1
