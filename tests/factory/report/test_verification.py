"""What is written of a verification: tables, a page, JSON, and who may read which."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from factory.config import load
from factory.recognition.error_rates import ErrorRates
from factory.recognition.image_quality import PairQuality
from factory.recognition.pair_scores import PairScores, read_parquet
from factory.recognition.pairs import Pairs
from factory.report.verification import (
    HEADS,
    VerificationReport,
    figures_json,
    files,
    rows,
    sentences,
    write,
)
from tests.factory.report.verified import DISCARD, RATES

REPORT = VerificationReport("net <on> lfw", {"auc": 0.75, "roc": [[1, 2]]}, RATES, DISCARD)
SCORES = PairScores(
    np.array([0.5, 0.25]),
    np.array([True, False]),
    ("Ada/1", "Ada/2", "Ada/1", "Eve/1"),
    ("Ada", "Ada", "Ada", "Eve"),
    np.ones(4, bool),
)


def test_a_threshold_is_a_row():
    assert rows(RATES) == [["0.1", "0.2500", "0.1", "0.05 to 0.2", "0.0000", "0 to 0.25"]]
    assert len(HEADS) == len(rows(RATES)[0])
    bare = replace(RATES.thresholds[0], fmr_interval=None, fnmr_interval=None)
    assert rows(replace(RATES, thresholds=[bare]))[0][3::2] == ["n/a", "n/a"]


def test_sentences_say_what_was_compared_and_by_what_unit():
    compared, uncertainty, discarded = sentences(REPORT)
    assert compared.startswith(
        "40 genuine and 100 impostor pairs of 70 images; failure-to-acquire rate (FTA) 0.0143."
    )
    assert "by resampling 12 people; where no error was seen, by the rule of three." in uncertainty
    assert "FNMR 0.2000, mean 0.1500 (0.05 to 0.25) while up to 50% of genuine" in discarded
    assert "relative 0.700" in discarded
    assert "3 images could not be assessed" in discarded

    def second(rates: ErrorRates) -> str:
        return sentences(replace(REPORT, rates=rates))[1]

    assert "resampling pairs, because nobody knows" in second(replace(RATES, num_people=None))
    few = replace(RATES, curve=replace(RATES.curve, low=[], high=[]))
    assert second(few) == "There are too few people for intervals."
    assert len(sentences(replace(REPORT, discard=None))) == 2
    assert sentences(replace(REPORT, discard="n/a: few"))[2] == "Error versus discard: n/a: few."
    assert (
        "relative"
        not in sentences(replace(REPORT, discard=replace(DISCARD, relative_pauc=None)))[2]
    )


def test_json_holds_all_figures_strictly():
    def refuse(constant):
        raise AssertionError(constant)

    body = json.loads(
        figures_json(replace(REPORT, figures={"eer": float("nan")})), parse_constant=refuse
    )
    assert body["figures"]["eer"] is None
    assert body["rates"]["thresholds"][0]["fnmr_interval"] == {"low": 0.0, "high": 0.25}
    assert body["rates"]["curve"]["fmr"] == [0.01, 0.1, 0.4, 1.0]
    assert body["discard"]["pauc"] == 0.15
    assert json.loads(figures_json(replace(REPORT, discard="n/a: x")))["discard"] == {
        "note": "n/a: x"
    }


@pytest.mark.usefixtures("plots")
def test_one_file_names_people_and_the_page_needs_no_other():
    made = files(REPORT, SCORES)
    assert sorted(made) == [
        "det.svg",
        "discard.svg",
        "genuine.txt",
        "impostor.txt",
        "roc.svg",
        "scores.csv",
        "scores.parquet",
        "verification.html",
        "verification.json",
    ]
    named = [name for name, data in made.items() if b"Ada" in data or b"Eve" in data]
    assert named == ["scores.parquet"]
    page = made["verification.html"].decode()
    assert "<h1>Verification: net &lt;on&gt; lfw</h1>" in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert "<td>0.05 to 0.2</td>" in page
    assert "<td>auc</td><td>0.75</td>" in page
    assert "http" not in page
    none = files(replace(REPORT, rates=replace(RATES, thresholds=[]), discard=None), SCORES)
    assert b"too few impostor pairs for any" in none["verification.html"]
    assert "discard.svg" not in none


def test_writing_measures_and_leaves_whole_files(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    table = tmp_path / "q.csv"
    table.write_text("Filename;q\n" + "".join(f"{i:06d}.png;{i}\n" for i in range(80)))
    out = tmp_path / "deep" / "out"
    settings = [f"verification.out={out}", f"quality.table={table}", "quality.column=q"]
    settings += ["source.pairs=some/lfw.bin", "recognizer.checkpoint=runs/net"]
    config = load(tmp_path / "c.yaml", settings)
    unit = np.random.default_rng(0).normal(size=(80, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    pairs = Pairs(np.empty(0), np.arange(40) % 2 == 0)
    quality = PairQuality(config.quality, pairs, None)
    assert write(config, {"auc": 0.5}, unit, pairs, quality) == str(out / "verification.html")
    found = read_parquet(out / "scores.parquet")
    np.testing.assert_allclose(found.cosine_N, (unit[0::2] * unit[1::2]).sum(1))
    assert found.quality_N2 is not None
    assert found.quality_N2[:2].tolist() == [[0, 1], [2, 3]]
    assert not [file for file in out.iterdir() if file.name.startswith(".")]
    body = json.loads((out / "verification.json").read_text())
    assert body["discard"]["note"] == (
        "n/a: 20 impostor pairs for verification.discard_fmr=0.01, which needs 1000"
    )
    loose = load(tmp_path / "c.yaml", [*settings, "verification.discard_fmr=.5"])
    write(loose, {}, unit, pairs, quality)
    curve = json.loads((out / "verification.json").read_text())["discard"]
    assert curve["quality"] == "q.csv, q"
    assert curve["largest_discarded"] == 0.3
    assert "net on lfw" in (out / "verification.html").read_text()
