"""The report's page and the dataset's card, from hand-made metrics and of a small release."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import yaml

from factory.config import ReleaseConfig
from factory.evaluation.metrics.release import Balance
from factory.records import Unit
from factory.report.page import render_card, render_page, size_category
from factory.shards import layout
from factory.shards.verify import verify
from factory.shots.plan import Plan
from tests.measured import bare_metrics, full_metrics, manifest, pictures
from tests.planned import REQUEST

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PLAIN = {
    *("", "set", "faces", "fraction", "features of", "by", "images", "average", "how many", "lfw"),
    *("average accuracy in %", "figure of this release", "question", "planned faces", "size"),
    *("to nearest other", "to nearest real", "python", "stated by"),
}
"""Labels of the page that need no explanation."""
PLAN = Plan(REQUEST, {}, [Unit(0, 0, 3, 42)])
CONFIG = ReleaseConfig(title="Tiny")


def page_of(metrics, *, everything: bool) -> str:
    """The page as its reader sees it, without markup."""
    page = render_page("Tiny", PLAN, manifest(), metrics, pictures(everything=everything)).decode()
    page = re.sub(r"<(style|script)>.*?</\1>|</?abbr[^>]*>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_page_shows_all_that_was_measured():
    page = page_of(full_metrics(), everything=True)
    for shown in (
        "recognizer release 0.9870 0.021 0.031 0.041 7.50 0.850 ± 0.050 0.150 ± 0.050",
        "judge source 0.850 ± 0.050 0.850 ± 0.050 0.150 ± 0.050 0.550",
        "judge 9.875 0.400 0.620 0.720 0.500 0.600",  # the overlaps are the judge's own
        "inception 12.345 0.500 0.610 0.710 n/a n/a",
        "recognizer, against ffhq 12.345",
        "ffhq 1.900 ± 0.100",
        "mistaken for at that limit, if nobody kept them apart 0.004 ± 15% of 2",
        "12.3 % of faces duplicate another of their identity",
        "mask 0.2 7 0.210 0.810 0.910",
        "sharpness 10.500 ± 1.500 12.500 3",
        "standard deviation 14.5° in the release, 15.5° in the source (faces found in 38 of 40)",
        "largest cosine allowed between two people 0.4321",
        "2.00e-03 of 900 pairs",
        "no packing of so many in 15 dimensions has a smaller largest cosine than -0.500",
        "nearest real person 0.355 ± 0.055, at most 0.4100",
        "3 of 40 (7.50%) 0 of 500 0.612, by 500 of the source 0.199",
        "see a known person in 75.0% of images (95 % interval 53.0% to 89.0%",
        "1 pairs of labels of the source name one person twice",
        "all but 0.1 % of the source's own images",
        "20.00% above cosine 0.450, as 0.001 of stranger pairs are",
        "000001_0000 0.700",
        "women 2 62.5% 50.0% 1.5 0.200 0.300 0.250",
        "that was right for 95 % of real people",
        "this release alone 12 4 87.00 ± 0.10 87.00 ± 0.10 +4.00 +4.60 %",
        "over 2 seeds",
        "sampling, as a fraction of busy time 0.8333",
        "rejected: blurred",
    ):
        assert shown in page, shown


def test_a_page_of_what_could_not_be_measured_says_why():
    page = page_of(bare_metrics(), everything=False)
    for shown in (
        "recognizer release n/a: nobody looked",
        "recognizer source n/a 0.850 ± 0.050 n/a n/a",
        "recognizer n/a n/a n/a n/a n/a n/a",
        "inception n/a n/a n/a n/a n/a n/a",
        "recognizer, against ffhq n/a n/a n/a n/a",
        "sharpness n/a: nobody looked",
        "Yaw: n/a: nobody looked.",
        "pairs of its strangers above it, by the same recognizer n/a",
        "cosine of an identity to the nearest real person n/a: nobody looked",
        "Leakage: do real people show? Not established: nobody looked. n/a: nobody looked",
        "Not measured: python -m jobs.utility RELEASE CONFIG trains on it.",
        "Not measured: python -m jobs.attack CONFIG compares people that",
    ):
        assert shown in page, shown
    for missing in ("CR-FIQA", "What was edited", "Balance of groups", "rejected:", "random"):
        assert missing not in page, missing


def test_every_head_and_every_name_of_a_figure_is_explained_or_plain():
    page = render_page("Tiny", PLAN, manifest(), full_metrics(), pictures(everything=True)).decode()
    labels = re.findall(r"<th>(.*?)</th>", page)
    for rows in re.findall(r"<table>(.*?)</table>", page, re.DOTALL):  # tables without heads
        labels += re.findall(r"<tr>\s*<td>(.*?)</td>", rows, re.DOTALL)
    bare = {html.unescape(re.sub("<[^>]*>", "", one)) for one in labels if "<abbr" not in one}
    assert bare <= PLAIN, bare - PLAIN
    assert "<dt>AUC</dt><dd>Area under the ROC curve" in page


def test_groups_whose_attributes_were_not_tested_are_shown_without_an_accuracy():
    metrics = full_metrics()
    untested = replace(metrics, balance=Balance(None, metrics.balance.groups))
    page = page_of(untested, everything=True)
    assert "women 2 62.5%" in page
    assert "Groups are read off embeddings." in page


def test_a_card_says_what_was_measured():
    card = render_card(CONFIG, PLAN, manifest(), full_metrics()).decode()
    assert "learned from 1000 images of 77 people" in card
    assert "3 of 40 are nearer to somebody real than all but 0.10% of real strangers" in card
    assert "women 62.5%" in card
    assert "| learned from | images | people | lfw | average |" in card
    assert "| source and release | 12 | 4 | 93.00 ± 0.10 |" in card


def test_card_and_page_say_what_an_attack_found():
    card = render_card(CONFIG, PLAN, manifest(), full_metrics()).decode()
    page = page_of(full_metrics(), everything=True)
    verdict = (
        "Members can be told from held-out people: denoising loss does so with an AUC of 0.900"
    )
    bound = "TPR is at 0 false alarms of 22, a rate below 13.6% with 95 % confidence"
    for text in (card, page):
        assert verdict in text
        assert bound in text
    assert "| denoising loss | generator | 0.900 | 0.850 to 0.950 | 0.001 | 25.0% |" in card
    assert "denoising loss generator 0.900 0.850 to 0.950 0.001 25.0% 10.0% to 40.0%" in page


def test_a_card_of_what_could_not_be_measured_says_so():
    card = render_card(CONFIG, PLAN, manifest(), bare_metrics()).decode()
    assert "learned from images of people" in card
    assert "No independent recognizer has looked at its faces (n/a: nobody looked)" in card
    assert "## Utility" not in card
    assert "Not measured: `python -m jobs.attack CONFIG` compares people" in card


def test_a_release_is_whole_after_it_was_measured_again(release):
    assert verify(release) == []
    extras = release.get(layout.EXTRA_SUMS).decode()
    for name in (layout.CARD, layout.CROISSANT, layout.REPORT, "metrics/utility.json"):
        assert f"  {name}\n" in extras


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_complaint(release, tmp_path, scheme):
    """Every image decodes, a click sorts, nothing is fetched, the console is silent."""
    from PIL import Image

    probe = """<script>addEventListener("load", () => {
      const broken = [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
      const table = document.querySelector("table.sortable"), heads = table.tHead.rows[0].cells;
      const first = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent);
      heads[1].click(); const up = first(); heads[1].click(); const down = first();
      document.title = JSON.stringify({images: document.images.length, broken, up, down});
    })</script>"""
    page = tmp_path / "page.html"
    page.write_bytes(release.get(layout.REPORT) + probe.encode())
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1000,3000",
        *(["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []),
    ]
    dumped = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=100
    )
    assert "CONSOLE" not in dumped.stderr
    probed = json.loads(re.search(r"<title>(\{.*?\})</title>", dumped.stdout)[1])
    assert probed["broken"] == 0
    assert probed["images"] >= 9
    assert probed["up"] == sorted(probed["up"], key=float)
    assert probed["down"] == probed["up"][::-1]
    shot = tmp_path / "shot.png"
    subprocess.run(
        [*command, f"--screenshot={shot}", page.as_uri()], capture_output=True, timeout=100
    )
    corner = np.asarray(Image.open(shot).convert("L"))[:5, :5].mean()
    assert corner > 200 if scheme == "light" else corner < 60


def test_the_page_holds_what_was_measured(release):
    page = release.get(layout.REPORT).decode()
    assert len(page) < 15e6
    assert "this release alone" in page
    assert "87.00 ± 0.10" in page
    assert "VIGFace (ICCV)" in page
    assert "rejected: " in page
    assert "&lt;b&gt;Tiny" in page


def test_the_card_has_the_hubs_header_and_the_audit(release):
    card = release.get(layout.CARD).decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["size_categories"] == ["n<1K"]
    assert header["configs"][0]["data_files"][0]["path"] == "data/train-*.tar"
    assert "> **Whether somebody real shows in it is not established: 12 images of" in card
    assert "Nobody in it exists" not in card
    assert "near-copies" in card
    assert "| this release alone | 12 | 4 | 87.00 ± 0.10 |" in card


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (785_000, "100K<n<1M"),
        (12_000_000, "10M<n<100M"),
    ],
)
def test_sizes_as_the_hub_names_them(count, name):
    assert size_category(count) == name
