"""Pairs of one kind, too few for folds, or ordered so that folds say nothing: a line or a null."""

from __future__ import annotations

import json

import pytest

IN_ORDER = "p0 1 2\np0 1 p1 1\np0 3 4\np0 2 p1 2\np1 1 2\np0 3 p1 3\np1 3 4\np0 4 p1 4\n"
GENUINE_FIRST = "p0 1 2\np0 3 4\np1 1 2\np1 3 4\np0 1 p1 1\np0 2 p1 2\np0 3 p1 3\np0 4 p1 4\n"


@pytest.fixture
def verify(faces, run_job, tmp_path):
    """Function of a pairs file's text -> (exit code, what verify_recognizer prints)."""
    faces(tmp_path / "g", 2, 4)
    for number, folder in enumerate(sorted((tmp_path / "g").iterdir())):
        person = tmp_path / "f" / f"p{number}"
        person.mkdir(parents=True)
        for image, file in enumerate(sorted(folder.iterdir()), start=1):
            file.rename(person / f"{person.name}_{image:04d}.jpg")

    def run(text, *further):
        (tmp_path / "pairs.txt").write_text(text)
        words = ["configs/recognizer/mini.yaml", "recognizer.checkpoint=starter:recognizer"]
        words += ["source.license=CC0-1.0", "source.holdout_identities=0"]
        words += [f"source.path={tmp_path / 'f'}", f"source.pairs={tmp_path / 'pairs.txt'}"]
        return run_job("verify_recognizer", *words, *further)

    return run


def strict(text):
    """JSON as RFC 8259 has it: NaN and Infinity are refused."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2 1\np0 1 2\np1 3 4\n", "has 2 genuine pairs and no impostor ones; want both"),
        ("2 1\np0 1 p1 1\np0 2 p1 2\n", "has 2 impostor pairs and no genuine ones; want both"),
        ("3\np0 1 2\np0 1 p1 1\n", "3 alone, which counts the pairs of each kind; there are 1 gen"),
        ("1\np0 1 2\np0 1 nobody 1\n", "pair 2 of"),
    ],
)
def test_what_cannot_be_measured_is_one_line(verify, text, line):
    code, said = verify(text)
    assert code == 1
    assert line in said
    assert len(said.strip().splitlines()) == 1


def test_fewer_pairs_than_folds_leave_the_accuracy_out_with_its_reason(verify):
    code, said = verify("2\np0 1 2\np1 1 2\np0 1 p1 1\np0 2 p1 2\n")
    assert code == 0
    figures = strict(said)
    assert figures["accuracy"] is None
    assert figures["accuracy_fold_std"] is None
    assert figures["accuracy_note"].startswith("n/a: 2 genuine and 2 impostor pairs for 10 folds")
    assert 0 <= figures["auc"] <= 1


def test_folds_of_pairs_that_come_kind_by_kind_have_both_kinds(verify):
    """In order, two folds of genuine pairs and two of impostors would choose no threshold."""
    ordered = strict(verify(f"4 1\n{IN_ORDER}")[1])
    assert ordered["folds"] == "pairs in order"
    first = strict(verify(f"4 1\n{GENUINE_FIRST}")[1])
    assert first["folds"] == "genuine and impostor pairs each in order"
    for name in ("accuracy", "accuracy_fold_std", "auc", "eer"):
        assert first[name] == ordered[name]


def test_the_single_number_of_pairs_dev_test_is_no_number_of_folds(verify):
    code, said = verify(f"4\n{GENUINE_FIRST}")
    assert code == 0
    assert "for 10 folds" in strict(said)["accuracy_note"]


def test_the_protocol_can_be_asked_for_and_is_told(verify):
    figures = {
        name: strict(verify(f"4 1\n{IN_ORDER}", *words)[1])
        for name, words in (("unit", ()), ("raw", ("recognizer.mirror_sum=raw",)))
    }
    assert [figures[name]["mirror_sum"] for name in ("unit", "raw")] == ["unit", "raw"]
    assert figures["unit"]["fdr"] != figures["raw"]["fdr"]
