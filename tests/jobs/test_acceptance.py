"""A stage does not use what the one before made badly: each stop, and the way on."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields

import numpy as np
import pytest

from factory import checkpoint
from factory.config import AcceptanceConfig, load
from factory.diffusion.acceptance import LIMITS, check_accepted
from factory.diffusion.generator_figures import found, probe
from factory.errors import CheckpointError, YieldError
from factory.preview import preview
from factory.shards import layout
from factory.store import LocalStore
from jobs._arguments import parse
from jobs._catalog import find
from tests.conftest import ACCEPT_ALL, tiny_dotlist

GOOD = {
    "autoencoder": {"psnr_db": 30.0, "identity_cosine_mean": 0.98},
    "generator": {
        "validation": {"ratio": 0.2},
        "probe": {"found_ratio": 1.0, "own_auc": 0.99, "diversity": 1.0},
    },
}
BAD = [
    ("min_psnr_db", "autoencoder", {"psnr_db": 14.4}, "14.4", "at least 18"),
    ("min_identity_cosine", "autoencoder", {"identity_cosine_mean": 0.49}, "0.49", "at least 0.5"),
    ("max_denoising_ratio", "generator", {"validation": {"ratio": 0.97}}, "0.97", "at most 0.95"),
    ("min_found_ratio", "generator", {"probe": {"found_ratio": 0.0}}, "0", "at least 0.3"),
    ("min_own_auc", "generator", {"probe": {"own_auc": 0.47}}, "0.47", "at least 0.65"),
    ("min_diversity", "generator", {"probe": {"diversity": 0.01}}, "0.01", "at least 0.3"),
]


def run(name, *words):
    find(name).run(parse(find(name), words))


def networks(**metrics):
    return {kind: (f"runs/{kind}", {"metrics": GOOD[kind] | m}) for kind, m in metrics.items()}


@pytest.mark.parametrize(("name", "kind", "figure", "told", "wanted"), BAD)
def test_each_limit_stops_what_misses_it_with_figure_limit_and_remedy(
    name, kind, figure, told, wanted
):
    assert check_accepted(AcceptanceConfig(), networks(**{kind: {}})) == []
    with pytest.raises(CheckpointError) as refused:
        check_accepted(AcceptanceConfig(), networks(**{kind: figure}))
    line = str(refused.value)
    assert line.startswith(f"acceptance.{name}: {kind}.checkpoint runs/{kind} has {told} (")
    assert f"; want {wanted}: train longer or on more faces, or begin with the net" in line
    assert f"acceptance.{name}=null goes on all the same" in line
    assert "\n" not in line
    check_accepted(AcceptanceConfig(**{name: None}), networks(**{kind: figure}))


def test_every_limit_is_checked_and_a_figure_at_it_passes():
    assert [limit.name for limit in LIMITS] == [field.name for field in fields(AcceptanceConfig)]
    at = {"psnr_db": 18.0, "identity_cosine_mean": 0.5}
    assert check_accepted(AcceptanceConfig(), networks(autoencoder=at)) == []
    with pytest.raises(CheckpointError, match="min_psnr_db"):
        check_accepted(AcceptanceConfig(), networks(autoencoder={"psnr_db": float("nan")}))


def test_what_was_not_measured_passes_with_a_remark():
    old = {"autoencoder": ("old", {"metrics": {"final_loss": 1.0}})}
    (remark,) = check_accepted(AcceptanceConfig(), old)
    assert remark == (
        "autoencoder.checkpoint old: not measured, so nothing is checked by acceptance "
        "(min_psnr_db, min_identity_cosine); `python -m jobs measure_network` measures it"
    )
    off = AcceptanceConfig(min_psnr_db=None, min_identity_cosine=None)
    assert check_accepted(off, old) == []


def kept(folder, kind, metrics):
    """The metrics of a network as its checkpoint.json, written and read, has them."""
    checkpoint.save(folder, checkpoint.Checkpoint(kind, {}, {}, 0, metrics, {}, ""))
    metadata = checkpoint.read_metadata(str(folder), kind, f"{kind}.checkpoint")
    return {kind: ("kept", metadata)}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_figure_that_was_no_number_stops_though_checkpoint_json_has_null(tmp_path, limit, value):
    metrics = json.loads(json.dumps(GOOD[limit.kind]))
    (metrics if limit.part is None else metrics[limit.part])[limit.figure] = value
    with pytest.raises(CheckpointError, match=rf"^{limit.key}: .* has n/a: (not|inf)") as refused:
        check_accepted(AcceptanceConfig(), kept(tmp_path, limit.kind, metrics))
    assert "\n" not in str(refused.value)
    off = AcceptanceConfig(**{limit.name: None})
    assert check_accepted(off, kept(tmp_path, limit.kind, metrics)) == []


def test_a_figure_that_there_is_not_passes_with_its_reason(tmp_path):
    """Of one person, and where no real face is found: as generator_figures.py leaves them."""
    unit = np.eye(2, dtype=np.float32)
    nobody = probe(unit, np.zeros(2), unit)
    nobody |= found(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 3)), lambda image: False)
    networks = kept(tmp_path, "generator", GOOD["generator"] | {"probe": nobody})
    remarks = check_accepted(AcceptanceConfig(), networks)
    assert len(remarks) == 3
    assert "nothing is checked by acceptance.min_found_ratio: n/a: the detector" in remarks[0]
    for key, remark in zip(("min_own_auc", "min_diversity"), remarks[1:], strict=True):
        assert f"by acceptance.{key}: n/a: all faces are of one person" in remark
    old = GOOD["generator"]["probe"] | {"own_auc": None}  # before reasons were kept
    networks = kept(tmp_path, "generator", GOOD["generator"] | {"probe": old})
    (remark,) = check_accepted(AcceptanceConfig(), networks)
    assert remark.endswith("checked by acceptance.min_own_auc: no reason is given")


@pytest.mark.parametrize("kind", ["autoencoder", "generator"])
def test_networks_of_the_package_are_measured_and_accepted(kind):
    name = f"starter:{kind}"
    metadata = checkpoint.read_metadata(name, kind, f"{kind}.checkpoint")
    assert check_accepted(AcceptanceConfig(), {kind: (name, metadata)}) == []


@pytest.fixture
def tiny(people, weights, tmp_path):
    """The words of a job on copies of networks that nobody trained."""
    weights = shutil.copytree(weights, tmp_path / "weights")
    (tmp_path / "c.yaml").write_text("{}\n")
    return [str(tmp_path / "c.yaml"), *tiny_dotlist(people, weights, tmp_path / "store")]


def training(tmp_path, out):
    return [
        *["compute.device=cpu", "compute.precision=fp32", "training.max_steps=1"],
        *["autoencoder.batch_size=4", "autoencoder.widths=[16,16]"],
        *["autoencoder.latent_channels=4", "generator.batch_size=4", "generator.width=32"],
        *["generator.depth=3", "generator.num_heads=2", f"training.out={tmp_path / out}"],
    ]


def test_from_a_bad_autoencoder_to_a_release_every_stage_stops_until_it_is_let(
    tiny, tmp_path, capsys
):
    """Of networks of one step each: measured at the end, refused next, used when told so."""
    run("train_autoencoder", *tiny, *training(tmp_path, "ae"))
    measured = json.loads((tmp_path / "ae" / "checkpoint.json").read_text())["metrics"]
    assert measured["psnr_db"] < 18
    assert (measured["num_images"], measured["faces"]) == (12, "training faces")
    tiny = [*tiny, f"autoencoder.checkpoint={tmp_path / 'ae'}"]
    with pytest.raises(CheckpointError, match=r"^acceptance\.min_psnr_db: .*12 training faces"):
        run("train_generator", *tiny, *training(tmp_path, "gen"))
    assert not (tmp_path / "gen").exists()
    held_out = ["source.holdout_identities=2"]
    run("train_generator", *tiny, *training(tmp_path, "gen"), *ACCEPT_ALL, *held_out)
    measured = json.loads((tmp_path / "gen" / "checkpoint.json").read_text())["metrics"]
    assert measured["validation"]["ratio"] == pytest.approx(1, abs=0.2)  # it predicts v = 0
    assert measured["validation"]["faces"] == "held-out faces"
    assert measured["probe"]["num_images"] == 6
    tiny = [*tiny, f"generator.checkpoint={tmp_path / 'gen'}"]
    with pytest.raises(CheckpointError, match=r"^acceptance\.min_psnr_db"):
        run("release", *tiny)
    assert not (tmp_path / "store").exists()
    run("release", *tiny, *ACCEPT_ALL)
    assert (tmp_path / "store/tiny/releases/0.1.0" / layout.SUCCESS).exists()
    capsys.readouterr()


def test_a_release_of_which_little_is_kept_is_sealed_and_published_by_a_lower_limit(
    tiny, tmp_path, capsys
):
    """The same command with another limit goes on: nothing is drawn again, the plan stays."""
    drawn = preview(load(tiny[0], tiny[1:]), 6, tmp_path, log=lambda _: None).faces
    half = float(np.median([face.scores.brightness for face in drawn]))
    words = [*tiny, f"filters.min_brightness={half}", "plan.max_rounds=1"]
    with pytest.raises(YieldError, match=r"^filters\.min_kept_fraction: .*too_dark") as refused:
        run("release", *words, "filters.min_kept_fraction=1")
    assert "sealed and not published" in str(refused.value)
    store = LocalStore(tmp_path / "store/tiny/releases/0.1.0")
    assert store.exists(layout.SUMS)
    assert not store.exists(layout.SUCCESS)
    assert not (tmp_path / "store/tiny/latest.json").exists()
    assert b"min_kept_fraction" not in store.get(layout.PLAN)
    said = "fewer than the 100% that a published release has at least"
    assert said in store.get(layout.CARD).decode()
    assert said in store.get(layout.REPORT).decode()
    before = {name: store.sha256(name) for name in [*store.list("data/"), layout.PLAN]}
    run("release", *words, "filters.min_kept_fraction=0.01")
    assert store.exists(layout.SUCCESS)
    assert (tmp_path / "store/tiny/latest.json").exists()
    assert {name: store.sha256(name) for name in before} == before
    assert said not in store.get(layout.CARD).decode()
    run("evaluate", str(store.root), *words, "filters.min_kept_fraction=1")  # it stays published
    assert said not in store.get(layout.CARD).decode()
    capsys.readouterr()
    run("status", str(store.root))
    assert capsys.readouterr().out.endswith("\n")  # also where it is piped


def test_a_network_is_measured_again_and_its_weights_stay(tiny, tmp_path, capsys):
    folder = tmp_path / "weights" / "generator"
    copied = shutil.copytree(folder, tmp_path / "copy")
    run("measure_network", "generator", *tiny)
    before, after = (json.loads((f / "checkpoint.json").read_text()) for f in (copied, folder))
    assert before["metrics"] == {}
    assert set(after["metrics"]) == {"validation", "probe"}
    assert after["metrics"]["probe"]["faces"] == "faces of the given source"
    assert after | {"metrics": {}} == before
    assert checkpoint.load(str(folder), "generator", "x").sha256 == before["sha256"]
    run("measure_network", "autoencoder", *tiny)
    body = json.loads((tmp_path / "weights" / "autoencoder" / "checkpoint.json").read_text())
    assert body["metrics"]["num_images"] == 12
    assert f"wrote {tmp_path / 'weights' / 'autoencoder'}" in capsys.readouterr().out
