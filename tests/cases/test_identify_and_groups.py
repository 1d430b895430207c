"""Search for one among many, and errors by group, as typed; bad input is one line."""

from __future__ import annotations

import json

import pytest

RECIPE = ["configs/recognizer/mini.yaml", "recognizer.checkpoint=starter:recognizer"]
RECIPE += ["source.license=CC0-1.0", "source.holdout_identities=0"]


@pytest.fixture
def people(faces, tmp_path):
    """A folder of twelve people with four images each, NAME/NAME_0001.jpg; nobody real."""
    faces(tmp_path / "g", 12, 4)
    for folder in sorted((tmp_path / "g").iterdir()):
        for number, file in enumerate(sorted(folder.iterdir()), start=1):
            file.rename(folder / f"{folder.name}_{number:04d}.jpg")
    return tmp_path / "g"


def test_one_among_many_by_a_made_protocol_and_by_a_table(people, run_job, tmp_path):
    words = [*RECIPE, f"source.path={people}", "identification.fpirs=[0.4]"]
    code, said = run_job("identify", *words, "identification.nonmated_fraction=0.5")
    assert code == 0, said
    made = json.loads(said)
    assert (made["num_entries"], made["num_mated"], made["num_nonmated"]) == (6, 18, 24)
    assert made["num_images"] == 48
    assert [rate["rank"] for rate in made["rates"]] == [1, 5, 10, 20]
    assert made["cmc"][0] == made["rates"][0]["rate"] > 1 / 6
    assert made["cmc"][-1] == 1.0
    assert made["open_set"][0]["note"].startswith("n/a: 24 non-mated searches; want 25")
    names = sorted(path.name for path in people.iterdir())
    rows = [f"{n}/{n}_{i:04d},gallery,{n}" for n in names[:8] for i in (1, 2)]
    rows += [f"{n}/{n}_{i:04d},probe,{n}" for n in names for i in (3, 4)]
    (tmp_path / "roles.csv").write_text("\n".join(["key,role,template", *rows, ""]))
    table = ["identification.protocol=table", f"identification.table={tmp_path / 'roles.csv'}"]
    told = json.loads(run_job("identify", *words, *table)[1])
    assert (told["num_entries"], told["num_mated"], told["num_nonmated"]) == (8, 8, 4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["identification.protocol=table"], "identification.table: got None with identification."),
        (["identification.protocol=tinyface"], "got 12 folders of images, 12 of them none of"),
        (
            ["identification.nonmated_fraction=0.95", "source.num_identities=5"],
            "nobody of 20 probes is among 0 entries",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_line_before_anything_starts(people, run_job, words, line):
    code, said = run_job("identify", *RECIPE, f"source.path={people}", *words, "--dry-run")
    assert code == 1
    assert line in said
    assert len(said.strip().splitlines()) == 1


def pairs_of(names) -> str:
    """Two genuine pairs a person, and each with the two people who follow."""
    lines = [f"{len(names)} 2"]
    for row, name in enumerate(names):
        lines += [f"{name} 1 2", f"{name} 3 4"]
        lines += [f"{name} {i} {names[(row + i) % len(names)]} {i}" for i in (1, 2)]
    return "\n".join([*lines, ""])


def test_errors_by_group_and_failures_to_acquire(people, run_job, tmp_path):
    names = sorted(path.name for path in people.iterdir())
    (tmp_path / "pairs.txt").write_text(pairs_of(names))
    rows = [f"{name},{'ab'[row % 2]}" for row, name in enumerate(names)]
    (tmp_path / "groups.csv").write_text("\n".join(["person,group", *rows, ""]))
    words = [*RECIPE, f"source.path={people}", f"source.pairs={tmp_path / 'pairs.txt'}"]
    words += [f"source.groups={tmp_path / 'groups.csv'}"]
    code, said = run_job("verify_recognizer", *words)
    assert code == 0, said
    assert json.loads(said)["groups"]["note"] == "n/a: 24 impostor pairs are too few for FMR 0.01"
    (people / names[0] / f"{names[0]}_0001.jpg").write_bytes(b"no image")
    words += ["source.group_fmr=0.5", "source.max_corrupt_fraction=0.1"]
    code, said = run_job("verify_recognizer", *words)
    assert code == 1
    assert "names an image that is not in the source" in said
    code, said = run_job("verify_recognizer", *words, "source.count_failures=true")
    assert code == 0, said
    figures = json.loads(said)
    assert (figures["fta"], figures["num_pairs_not_acquired"]) == (pytest.approx(1 / 48), 3)
    report = figures["groups"]
    assert report["groups"]["a"]["fta"] == pytest.approx(1 / 24)
    assert report["fnmr"]["count"] == 24
    assert report["fmr_matrix"]["a"]["b"] == report["fmr_matrix"]["b"]["a"]
    assert report["fmr"]["rate"] <= 0.5
    assert not set(names) & set(said.split('"'))
