"""verify_recognizer with verification.out: what others read of its scores, run as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from factory.recognition.pair_scores import read_parquet, read_pyeer
from factory.recognition.verification import auc
from tests.networks_of_quality import write_quality

PAIRS = "2 10\n" + "".join(
    "".join(f"{a} {i} {i + 1}\n" for a in ("p0", "p1", "p2", "p3", "p4") for i in (1, 3))
    + "".join(f"p{i} {j} p{(i + j) % 5} {j}\n" for i in range(5) for j in (1, 2))
    for _ in range(2)
)


@pytest.fixture
def verify(faces, run_job, tmp_path):
    """Function of further words -> (exit code, what verify_recognizer prints)."""
    faces(tmp_path / "g", 5, 4)
    for number, folder in enumerate(sorted((tmp_path / "g").iterdir())):
        person = tmp_path / "f" / f"p{number}"
        person.mkdir(parents=True)
        for image, file in enumerate(sorted(folder.iterdir()), start=1):
            file.rename(person / f"{person.name}_{image:04d}.jpg")
    (tmp_path / "pairs.txt").write_text(PAIRS)

    def run(*further):
        words = ["configs/recognizer/mini.yaml", "recognizer.checkpoint=starter:recognizer"]
        words += ["source.license=CC0-1.0", "source.holdout_identities=0"]
        words += [f"source.path={tmp_path / 'f'}", f"source.pairs={tmp_path / 'pairs.txt'}"]
        return run_job("verify_recognizer", *words, *further)

    return run


def test_scores_curves_and_thresholds_are_written(verify, tmp_path):
    out = tmp_path / "out"
    names = [f"p{i}/p{i}_000{j}" for i in range(5) for j in (1, 2, 3, 4)]
    table = "Filename;UnifiedQualityScore.scalar;\n"
    table += "".join(f"/x/{name}.jpg;{row}\n" for row, name in enumerate(names))
    (tmp_path / "ofiq.csv").write_text(table)
    words = [f"verification.out={out}", f"quality.table={tmp_path / 'ofiq.csv'}"]
    code, said = verify(*words, "verification.discard_fmr=.5")
    assert code == 0, said
    figures = json.loads(said[: said.rindex("}") + 1])
    assert said.strip().endswith(f"wrote {out / 'verification.html'}")
    scores = read_parquet(out / "scores.parquet")
    assert scores.keys[:2] == ("p0/p0_0001", "p0/p0_0002")
    assert scores.people[:2] == ("p0", "p0")
    assert scores.quality_N2 is not None
    assert scores.quality_N2[0].tolist() == [0, 1]
    genuine, impostor = (read_pyeer(out / f"{kind}.txt") for kind in ("genuine", "impostor"))
    assert auc(genuine, impostor) == pytest.approx(figures["auc"])
    np.testing.assert_array_equal(genuine, scores.cosine_N[scores.same_N])
    written = json.loads((out / "verification.json").read_text())
    assert written["figures"]["auc"] == figures["auc"]
    assert [one["wanted_fmr"] for one in written["rates"]["thresholds"]] == []
    assert written["discard"]["quality"] == "ofiq.csv, UnifiedQualityScore.scalar"
    assert (out / "discard.svg").is_file()
    named = [file.name for file in out.iterdir() if b"p0_0001" in file.read_bytes()]
    assert named == ["scores.parquet"]


def test_a_network_tells_quality_too(verify, tmp_path):
    out, model = tmp_path / "out", write_quality(tmp_path / "q.onnx", px=112)
    words = [f"verification.out={out}", f"quality.model={model}", "verification.discard_fmr=.5"]
    code, said = verify(*words)
    assert code == 0, said
    assert json.loads((out / "verification.json").read_text())["discard"]["quality"] == "q.onnx"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["quality.table=none.csv"], "quality.table: no file"),
        (["quality.model=none.onnx"], "quality.model: got "),
        (["verification.out=s3://x/y"], "verification.out: got 's3://x/y'"),
        (["verification.discard_fmr=2"], "verification.discard_fmr: got 2"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line_before_anything_starts(
    verify, tmp_path, words, line
):
    code, said = verify(f"verification.out={tmp_path / 'out'}", *words)
    assert code == 1
    assert line in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(verify, tmp_path):
    code, said = verify(f"verification.out={tmp_path / 'out'}", "--dry-run")
    assert (code, said.strip()) == (0, "checked; nothing is written")
    assert not (tmp_path / "out").exists()
