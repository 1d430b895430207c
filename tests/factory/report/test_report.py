"""The pages of a release, opened as their readers open them: a browser, mlcroissant, `datasets`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from factory.config import load
from factory.evaluation.release_metadata import Kept
from factory.evaluation.similarity import SampledFaces
from factory.execution.inline import run_units
from factory.records import Counts, Manifest, Shard, Timings
from factory.release import Release, build, evaluate_and_report
from factory.report import figures, sheets
from factory.report.page import size_category
from factory.report.statements import biases, privacy
from factory.shards import layout, manifest
from factory.shards.reader import iterate_kept
from factory.shards.verify import verify
from factory.sources import open_source
from factory.store import LocalStore
from tests.conftest import tiny_dotlist

UTILITY = {
    "sets": {
        name: {
            "images": 12,
            "identities": 4,
            "benchmarks": {"lfw": {"accuracy": {"mean": mean, "std": 0.001}}},
            "average": {"mean": mean, "std": 0.001},
        }
        for name, mean in (("real", 0.91), ("release", 0.87), ("both", 0.93))
    },
    "gap_to_real": {
        "release": {"points": 4.0, "percent": 4.6},
        "both": {"points": -2.0, "percent": -2.2},
    },
    "runs": {"real": [{"seed": 0}]},
}
PLOT = figures.plot
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def plots():
    """The real ones."""
    before, figures.plot = figures.plot, PLOT
    yield
    figures.plot = before


@pytest.fixture(scope="module")
def release(plots, people, weights, tmp_path_factory):
    """A sealed release with rejects, measured a second time with figures of utility."""
    root = tmp_path_factory.mktemp("release")
    (root / "c.yaml").write_text("{}\n")
    dotlist = tiny_dotlist(people, weights, root / "store")
    title = "release.title=<b>Tiny & true</b>"
    picky = "filters.min_own_cosine=0"
    config = load(
        root / "c.yaml", [*dotlist, title, picky, "plan.max_rounds=1", "audit.show_real=true"]
    )
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    plan = manifest.sealed_plan(store)
    made = manifest.collect(store, plan)
    assert 0 < made.counts.kept < made.counts.shots, "wants some of both"
    manifest.put_metrics(store, {layout.UTILITY: UTILITY})
    evaluate_and_report(config, open_source(config.source), Release(store, plan, made))
    return store


def test_it_is_still_whole(release):
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
    seen = json.loads(re.search(r"<title>(\{.*?\})</title>", dumped.stdout)[1])
    assert seen["broken"] == 0
    assert seen["images"] >= 9
    assert seen["up"] == sorted(seen["up"], key=float)
    assert seen["down"] == seen["up"][::-1]
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
    assert "Nobody in it exists" in card
    assert "near-copies" in card
    assert "| this release alone | 12 | 4 | 87.00 ± 0.10 |" in card


@pytest.mark.filterwarnings("ignore")  # because mlcroissant's dependencies warn
def test_mlcroissant_validates_it_and_loads_every_face(release, tmp_path, monkeypatch):
    import mlcroissant
    from etils import epath

    unpacking = "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH"
    monkeypatch.setattr(unpacking, epath.Path(tmp_path))  # what CROISSANT_CACHE would say

    dataset = mlcroissant.Dataset(jsonld=release.root / layout.CROISSANT)
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    plan = manifest.sealed_plan(release)
    expected = {row["key"]: row["identity"] for row, _ in iterate_kept(release, plan)}
    found = {}
    for record in dataset.records("faces"):
        assert record["faces/image"].size == (32, 32)
        found[record["faces/key"].decode()] = record["faces/identity"]
    assert found == expected
    written = json.loads(release.get(layout.CROISSANT))
    assert written["rai:personalSensitiveInformation"]
    assert written["conformsTo"] == "http://mlcommons.org/croissant/1.1"


@pytest.mark.filterwarnings("ignore")
def test_datasets_reads_the_shards_and_the_export(release, tmp_path, monkeypatch):
    """In a process of its own, because `datasets` decides on import where its cache lies."""
    from factory.shards.export import export

    export(release, "parquet", tmp_path / "parquet")
    script = f"""
import datasets
def load(kind, files):
    return datasets.load_dataset(kind, data_files=files, split="train")
shards = load("webdataset", "{release.root}/data/train-*.tar")
table = load("parquet", "{tmp_path}/parquet/**/*.parquet")
print([(row["__key__"], row["cls"], row["jpg"].size) for row in shards])
print([(row["key"], row["label"], row["image"].size) for row in table])
"""
    done = subprocess.run(
        [os.sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plan = manifest.sealed_plan(release)
    expected = [(row["key"], row["identity"], (32, 32)) for row, _ in iterate_kept(release, plan)]
    shards, table = done.stdout.splitlines()
    for line in (shards, table):
        assert sorted(eval(line)) == sorted(expected)


def test_sheets_show_the_best_the_middle_and_the_worst():
    kept = Kept(
        np.array([5, 5, 6, 7, 8, 9]), {"own_cosine": np.array([0.9, 0.7, 0.5, 0.6, 0.9, 0.1])}
    )
    assert kept.ranking().tolist() == [8, 5, 7, 6, 9]
    shown = sheets.chosen(kept.ranking(), np.array([5, 6, 7, 8, 9]), 4)
    assert shown == {"best": [8], "median": [7], "worst": [9]}
    assert sheets.chosen(kept.ranking(), np.array([5, 6]), 4) == {
        "best": [],
        "median": [],
        "worst": [],
    }


def test_a_sheet_is_white_where_a_row_is_short():
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    sheet = sheets.tiled([[red, red], [red]], 2)
    assert sheet.shape == (10, 10, 3)
    assert (sheet[:4, :4] == red).all()
    assert (sheet[6:, 6:] == 255).all()
    faces = SampledFaces(np.stack([red, red]), np.array([3, 1]))
    assert sheets.first_identities(faces, 1) == [3]


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


def test_privacy_says_what_is_known_and_no_more():
    apart = {"separability": {"max_cosine": 0.5}}
    assert "holds images of real people" in privacy({"release": {"allow_real": True}}, apart)
    assert "No independent recognizer" in privacy(
        {"release": {"allow_real": False}}, apart | {"leakage": {"note": "n/a"}}
    )
    assert "unmeasured" in biases({"note": "n/a"})
    assert "men 60.0%" in biases({"groups": {"men": {"share": 0.6}, "women": {"share": 0.4}}})


def test_plots_of_what_could_not_be_measured(plots):
    """One identity with one image: no pairs, no classes to compare, nobody virtual."""
    nothing = {"note": "n/a"}
    spread = {"histogram": [0.0] * 79 + [1.0]}
    measured = {"release": nothing, "source": nothing, "nearest_real": spread}
    measured |= {"source_nearest_other_person": spread}
    apart = {"nearest_real": nothing, "nearest_other": nothing, "max_cosine": 0.5}
    once = Shard(0, "h", [], Counts(1, 0, 1, 0, 0), Timings(5.0, 5.0, 0.0, 0.0))
    for uri in (
        figures.cosines("by nobody", measured),
        figures.rocs({"recognizer": measured}),
        figures.separation(apart),
        figures.consistency({"recognizer": {"release": {}, "source": {}}}),
        figures.throughput(Manifest("d", "v", "h", [once])),
    ):
        assert uri.startswith("data:image/svg+xml;base64,")
