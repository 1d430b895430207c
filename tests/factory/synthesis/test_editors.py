"""A release of edited faces: what is outside a region comes back to the bit, and a row says what
was edited."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from factory.config import EditingConfig, FiltersConfig, load
from factory.errors import CheckpointError, ConfigError, IntegrityError, PlanError
from factory.execution.inline import run_units
from factory.planning.preflight import preflight
from factory.provenance.lineage import read_lineage
from factory.quality.filters import apply_filters, build_filters
from factory.records import DrawnBatch, Identity, Scores, Shot, Verdict
from factory.release import build
from factory.shards import layout
from factory.shards.export import export
from factory.shards.marks import read_mark
from factory.shards.plan_files import open_plan
from factory.shards.reader import local_copy, metadata_rows, read_face
from factory.shards.verify import verify
from factory.shards.writer import read_commit
from factory.shots.edits import edit_of, kinds_for
from factory.shots.plan import first_round_shots
from factory.sources import open_source
from factory.store import open_store
from factory.synthesis import editors
from factory.synthesis.editors import GRAY, LARGEST_MISS, Originals, edit_measures
from factory.synthesis.loading import load_release
from factory.synthesis.maker import ShardMaker
from factory.synthesis.reproduce import reproduce
from tests.base_model import save_base
from tests.conftest import DIM, IMAGES, PEOPLE, tiny_dotlist
from tests.editors import save_controlnet, save_inpainter

EDITED = [
    "release.method=edit",
    "editing.method=drawn",
    "editing.occluded_fractions=[0.0,0.2,0.4]",
    "identities.num_virtual=0",
    "identities.max_cosine=0.9",
    "release.allow_real=true",
    "shards.image_format=png",
    "plan.micro_batch=4",
]

NO_LIMITS = FiltersConfig(**{field.name: None for field in fields(FiltersConfig)})


@pytest.fixture
def editing(people, weights, tmp_path):
    """Function of extra dotlist items -> the config of a tiny augmented release."""

    def make(*dotlist):
        file = tmp_path / "editing.yaml"
        file.write_text("{}\n")
        base = tiny_dotlist(people, weights, tmp_path / "store")
        return load(file, [*base, *EDITED, *dotlist])

    return make


@pytest.fixture(scope="session")
def inpainter(weights, tmp_path_factory):
    return save_inpainter(tmp_path_factory.mktemp("editor"), weights)


@pytest.fixture(scope="session")
def controlnet(tmp_path_factory):
    """(folder of a base, of a ControlNet on it)."""
    base = save_base(tmp_path_factory.mktemp("base"))
    return base, save_controlnet(tmp_path_factory.mktemp("controlnet"), base)


def released(config):
    build(config, run_units, log=lambda line: None)
    store = open_store(config.store).below(layout.release_prefix("tiny", "0.1.0"))
    assert verify(store) == []
    rows = [row for unit in open_plan(store)[0].units for row in metadata_rows(store, unit.index)]
    return store, rows


def pixels(store, row):
    unit = row["identity"] // 2
    data = store.get(layout.tar_name(unit))[row["offset"] : row["offset"] + row["size"]]
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("editor", ["drawn", "uvit", "controlnet"])
def test_outside_the_region_a_stored_face_is_the_original_to_the_bit(
    editing, inpainter, controlnet, editor
):
    settings = [f"editing.method={editor}"]
    if editor == "uvit":
        settings.append(f"editing.checkpoint={inpainter}")
    if editor == "controlnet":
        settings += [f"base_model.path={controlnet[0]}", f"editing.checkpoint={controlnet[1]}"]
        settings.append("compute.precision=fp32")
    config = editing(*settings)
    store, rows = released(config)
    assert len(rows) == PEOPLE * IMAGES
    told = {"drawn": ["recognizer"], "uvit": ["recognizer", "editor", "autoencoder", "generator"]}
    roles = {one.role for one in read_lineage(store).networks}
    assert roles == {"detector", *told.get(editor, ["recognizer", "controlnet", "base"])}
    source = open_source(config.source)
    index_of = {key: i for i, key in enumerate(source.keys)}
    release = load_release(config, store)
    shots = {shot.key: shot for shot in shots_of_rows(rows)}
    changed = 0
    for row in rows:
        original = source[index_of[row["original"]]].image_HWC
        stored = pixels(store, row)
        alpha = release.generator.edits([shots[row["key"]]], 4).regions.alpha_NHW[row["slot"]]
        assert (stored[alpha == 0] == original[alpha == 0]).all()
        changed += int((stored != original).any())
        assert abs(row["occluded"] - row["occlusion"]) <= 0.03
    assert changed == len(rows)


def shots_of_rows(rows):
    return [Shot(**{f.name: row[f.name] for f in fields(Shot)}) for row in rows]


def test_rows_name_the_original_and_how_much_of_it_is_left(editing):
    store, rows = released(editing("editing.edits_per_image=2"))
    assert len(rows) == 2 * PEOPLE * IMAGES
    by_original = {row["original"] for row in rows}
    assert by_original == set(open_source(editing().source).keys)
    assert all(row["original"].startswith(f"person_{row['identity']}") for row in rows)
    for row in rows:
        assert row["kind"] == "real"
        assert -1 <= row["visible_cosine"] <= 1.00001
        assert row["edit"] in kinds_for(list(editing().editing.kinds), row["occlusion"])
    body = json.loads(store.get(layout.MANIFEST))
    assert body["holds_real_identities"] is True
    assert body["augments"] is None
    config = editing()
    release = replace(config.source, kind="webdataset", path=str(store.root))
    assert list(open_source(release).names) == list(open_source(config.source).names)


def test_report_and_card_say_that_it_is_of_edits(editing):
    config = editing("audit.show_real=true", "editing.kinds=[mask,hat]")
    store, rows = released(config)
    figures = json.loads(store.get(layout.metrics_name("edits")))
    assert sum(metrics["count"] for metrics in figures.values()) == len(rows)
    for name, metrics in figures.items():
        kind, fraction = name.split()
        of_kind = [r for r in rows if r["edit"] == kind and r["occlusion"] == float(fraction)]
        assert metrics["occluded"] == pytest.approx(np.mean([r["occluded"] for r in of_kind]))
    page = store.get(layout.REPORT).decode()
    assert "What was edited" in page
    assert page.count('alt="mask"') == 1
    card = store.get(layout.CARD).decode()
    assert "Every image is an edit of one of the 12 images of 4 people" in card
    assert "`.png`" in card
    croissant = store.get(layout.CROISSANT).decode()
    assert "image/png" in croissant
    assert "*.png" in croissant


@pytest.mark.s3
def test_a_copy_from_a_bucket_calls_people_as_their_source_does(editing, s3_config, tmp_path):
    config = editing()
    config = replace(config, store=replace(s3_config(), min_free_bytes=0))
    store, _ = released(config)
    copy = local_copy(store, open_plan(store)[0], str(tmp_path / "copies"))
    copied = replace(config.source, kind="webdataset", path=str(copy))
    assert list(open_source(copied).names) == list(open_source(config.source).names)
    (copy / layout.ROSTER).write_bytes(b"altered")
    local_copy(store, open_plan(store)[0], str(tmp_path / "copies"))
    assert len(open_source(copied)) == PEOPLE * IMAGES  # it was fetched again


def test_a_face_can_be_made_again_and_exported(editing, tmp_path):
    config = editing()
    store, rows = released(config)
    again = reproduce(config, store, rows[3]["key"])
    assert again.equal
    assert again.encoded[:4] == b"\x89PNG"
    assert b'digitalsourcetype/composite"' in again.encoded  # no network took part
    assert export(store, "imagefolder", tmp_path / "out") == len(rows)
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(rows)


def test_long_prompts_are_remarked_upon(editing, controlnet):
    long = "photo of a person " * 20 + "{edit}"
    settings = [f"base_model.path={controlnet[0]}", f"editing.checkpoint={controlnet[1]}"]
    config = editing("editing.method=controlnet", f"editing.template={long}", *settings)
    store, rows = released(config)
    assert any("were longer than the text" in line for line in read_commit(store, 0).remarks)
    mark = read_mark(read_face(store, 0, rows[0]))
    assert mark.prompt == rows[0]["prompt"] != ""
    assert mark.source_type == "compositeWithTrainedAlgorithmicMedia"


def test_classic_augmentation_is_a_release_as_well(editing):
    _, rows = released(editing("editing.method=classic", "shards.image_format=jpeg"))
    assert {row["edit"] for row in rows} == {"classic"}
    assert {row["occluded"] for row in rows} == {None}
    assert all(row["original_cosine"] is not None for row in rows)


def test_a_release_of_nobody_real_is_augmented_as_such(editing, release_config, tmp_path):
    first = release_config("shards.image_format=png")
    build(first, run_units, log=lambda line: None)
    folder = tmp_path / "store" / layout.release_prefix("tiny", "0.1.0")
    config = editing(
        "source.kind=webdataset",
        f"source.path={folder}",
        "release.allow_real=false",
        "release.dataset=more",
    )
    build(config, run_units, log=lambda line: None)
    store = open_store(config.store).below(layout.release_prefix("more", "0.1.0"))
    body = json.loads(store.get(layout.MANIFEST))
    origin = json.loads((folder / layout.MANIFEST).read_text())
    assert body["holds_real_identities"] is False
    assert body["augments"]["plan_hash"] == origin["plan_hash"]
    assert {person.kind for person in open_plan(store)[1].identities} == {"edited"}
    card = store.get(layout.CARD).decode()
    assert "(release tiny 0.1.0)" in card
    assert "holds nobody real" not in card  # it was drawn after photographs
    assert "whether somebody real shows among them is not established" in card
    allowed = editing(
        "source.kind=webdataset", f"source.path={folder}", "release.dataset=allowed"
    )  # allow_real is true, and yet nobody real is in it
    build(allowed, run_units, log=lambda line: None)
    store = open_store(allowed.store).below(layout.release_prefix("allowed", "0.1.0"))
    assert json.loads(store.get(layout.MANIFEST))["holds_real_identities"] is False
    body = (folder / layout.MANIFEST).read_text()
    altered = body.replace('"holds_real_identities": false', '"holds_real_identities": true')
    assert altered != body
    (folder / layout.MANIFEST).write_text(altered)
    with pytest.raises(
        IntegrityError, match=r"manifest\.json: does not have its sha256 in SHA256SUMS"
    ):
        preflight(config)
    assert verify(store) == []


def test_a_face_without_landmarks_stays_as_it_was_and_is_rejected(editing):
    config = editing()
    store, _ = released(config)
    release = load_release(config, store)
    shots = shots_of_rows(metadata_rows(store, 0))[:1]
    editor = release.generator
    image, _ = editor._originals.face_of(shots[0].original)
    editor._originals.face_of = lambda key: (image, np.full((5, 2), np.nan))
    drawn = editor.generate(shots, 4)
    slot = shots[0].slot
    assert (drawn.images_BHWC[slot] == image).all()
    measures = edit_measures(release.recognizer)
    hidden = measures["occluded"](drawn, np.zeros((4, DIM)))
    assert np.isnan(hidden[slot])
    scores = Scores(1.0, -1, -1.0, -1.0, 1.0, 100.0, original_cosine=1.0, occluded=None)
    limits = build_filters(NO_LIMITS, needs_region=True)
    assert apply_filters(scores, limits) == Verdict(False, "no_region")
    assert apply_filters(replace(scores, occluded=0.2), limits).keep


def test_scores_compare_with_the_original_and_with_what_stays_of_it():
    """In closed form: an embedder that gives the direction of the mean color."""

    class MeanColor:
        sha256, dim = "mean", 3

        def embed(self, images_NHWC):
            mean_N3 = images_NHWC.reshape(len(images_NHWC), -1, 3).mean(1)
            return mean_N3 / np.linalg.norm(mean_N3, axis=1, keepdims=True)

    red, green, both = (
        np.tile(np.uint8(c), (2, 4, 4, 1)) for c in ((9, 0, 0), (0, 9, 0), (9, 9, 0))
    )
    batch = DrawnBatch(red, red, both, np.array([0.25, np.nan]))
    unit_BD = MeanColor().embed(red)
    scores = {n: m(batch, unit_BD) for n, m in edit_measures(MeanColor()).items()}
    np.testing.assert_allclose(scores["original_cosine"], [1, 1])
    np.testing.assert_allclose(scores["visible_cosine"], [0.5**0.5] * 2)
    np.testing.assert_array_equal(scores["occluded"], [0.25, np.nan])
    alone = {n: m(DrawnBatch(green), unit_BD) for n, m in edit_measures(MeanColor()).items()}
    assert all(np.isnan(values).all() for values in alone.values())


def test_what_stays_visible_is_the_original_with_its_region_gray(editing):
    config = editing("editing.kinds=[mask]", "editing.occluded_fractions=[0.3]")
    store, _ = released(config)
    release = load_release(config, store)
    shots = shots_of_rows(metadata_rows(store, 0))[:2]
    batch = release.generator.generate(shots, 4)
    changed = (batch.images_BHWC != batch.originals_BHWC).any(-1)
    gray = (batch.visible_BHWC != batch.originals_BHWC).any(-1)
    for shot in shots:
        assert gray[shot.slot].any()
        assert not (changed[shot.slot] & ~gray[shot.slot]).any()  # nothing else was redrawn
        inside = batch.visible_BHWC[shot.slot][changed[shot.slot] & gray[shot.slot]]
        assert np.median(np.abs(inside.astype(int) - GRAY)) < 40
        assert batch.occluded_B[shot.slot] == pytest.approx(0.3, abs=LARGEST_MISS)


def test_a_region_that_misses_its_fraction_is_none(editing, monkeypatch):
    """Half as much hidden as was asked for: rejected, and the image stays as it was."""
    config = editing("editing.kinds=[mask]", "editing.occluded_fractions=[0.4]")
    store, _ = released(config)
    release = load_release(config, store)
    shots = [replace(shot, occlusion=0.2) for shot in shots_of_rows(metadata_rows(store, 0))[:1]]
    plain = editors.regions

    def too_large(points, kinds, fractions, *rest, **options):
        return plain(points, kinds, [2 * fraction for fraction in fractions], *rest, **options)

    monkeypatch.setattr(editors, "regions", too_large)
    batch = release.generator.generate(shots, 4)
    slot = shots[0].slot
    assert np.isnan(batch.occluded_B[slot])
    assert (batch.images_BHWC[slot] == batch.originals_BHWC[slot]).all()


def test_batches_cut_up_for_want_of_memory_are_the_same_faces(editing):
    config = editing()
    store, _ = released(config)
    release = load_release(config, store)
    maker = ShardMaker.at(release, store, 1 << 20)
    shots = first_round_shots(release.plan.request, release.plan.units[0], release.roster)[:4]
    whole = maker.draw(shots)
    maker._generator._parts = 2
    cut = maker.draw(list(shots))
    for (_, first, scores), (_, again, others) in zip(whole, cut, strict=True):
        assert (first == again).all()
        assert (scores.occluded, scores.sharpness) == (others.occluded, others.sharpness)
        assert scores.visible_cosine == pytest.approx(others.visible_cosine, abs=1e-4)


def test_photographs_that_could_not_be_edited_are_not_shown(editing, monkeypatch):
    """Without editing.points=detector every blob has the template's points; here some have none."""
    plain = Originals._read

    def look(self, key):
        image, points = plain(self, key)
        return image, points * np.nan if key.endswith("/0") else points

    monkeypatch.setattr(Originals, "_read", look)
    config = editing("plan.max_rounds=1")
    store, rows = released(config)
    assert len(rows) == PEOPLE * (IMAGES - 1)
    counts = json.loads(store.get(layout.MANIFEST))["counts"]
    assert counts["reasons"] == {"no_region": PEOPLE}
    assert "rejected: no_region" not in store.get(layout.REPORT).decode()
    shown = editing("plan.max_rounds=1", "audit.show_real=true", "release.dataset=shown")
    build(shown, run_units, log=lambda line: None)
    page = open_store(shown.store).below(layout.release_prefix("shown", "0.1.0")).get(layout.REPORT)
    assert "rejected: no_region" in page.decode()


def test_altered_weights_and_too_many_steps_are_found_before_anything_is_made(
    editing, inpainter, tmp_path
):
    settings = ["editing.method=uvit", f"editing.checkpoint={inpainter}"]
    with pytest.raises(
        ConfigError, match=r"sampler\.num_steps: got 900; want at most the editor's"
    ):
        preflight(editing(*settings, "sampler.num_steps=900"))
    copy = tmp_path / "altered"
    shutil.copytree(inpainter, copy)
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"editing\.checkpoint: .* has sha256"):
        preflight(editing("editing.method=uvit", f"editing.checkpoint={copy}"))


def test_who_is_too_unlike_is_rejected_with_the_reason(editing):
    config = editing("filters.min_original_cosine=0.9999", "plan.max_rounds=1")
    with pytest.raises(PlanError, match="unlike_original"):
        build(config, run_units, log=lambda line: None)


def test_edits_take_the_originals_in_turn():
    person = Identity(0, "real", "source", 0, 0.1, 0.1, 4, originals=("a", "b"))
    spared = EditingConfig(method="drawn", kinds=("mask", "hat"), occluded_fractions=(0.0,))
    edits = [edit_of(spared, person, (0, 0, image), 0) for image in range(4)]
    assert [edit.original for edit in edits] == ["a", "b", "a", "b"]
    assert {edit.kind for edit in edits} == {"hat"}  # a mask cannot spare the face
    redrawn = replace(
        spared, occluded_fractions=(0.2,), method="controlnet", template="a person{edit}"
    )
    drawn = [
        edit_of(redrawn, person, (0, 0, image), attempt) for image in range(4) for attempt in (0, 1)
    ]
    assert {edit.kind for edit in drawn} == {"mask", "hat"}
    assert {edit.prompt for edit in drawn} == {
        "a person, wearing a medical mask",
        "a person, wearing a hat",
    }


@pytest.mark.parametrize(
    ("dotlist", "match"),
    [
        (["editing.kinds=[moustache]"], r"editing\.kinds: got 'moustache'"),
        (
            ["editing.occluded_fractions=[0.95]"],
            r"editing\.occluded_fractions: got 0\.95.*hides all of a face",
        ),
        (
            ["editing.occluded_fractions=[0]", "editing.kinds=[mask]"],
            r"editing\.occluded_fractions: got 0 with.*want one",
        ),
        (["editing.method=uvit"], r"editing\.checkpoint: nothing given for editing\.method=uvit"),
        (["editing.points=detector", "source.detector=null"], r"source\.detector: got null"),
        (["editing.segmenter=onnx"], r"editing\.segmenter_path: nothing given"),
        (["identities.num_virtual=3"], r"identities\.num_virtual: got 3 with release\.method=edit"),
        (["sampler.yaw=[10]"], r"sampler\.yaw: got \(10\.0,\) with release\.method=edit"),
        (
            ["identities.extends=0.0.1"],
            r"identities\.extends: got '0\.0\.1' with release\.method=edit",
        ),
        (["editing.grounding=/there"], r"editing\.grounding: got /there .*asks about no boxes"),
        (
            ["sampler.perturb_identity=true"],
            r"sampler\.perturb_identity: got True with release\.method=edit",
        ),
        (["plan.micro_batch=null"], r"plan\.micro_batch: got null"),
        (["editing.method=classic", "filters.min_visible_cosine=0"], "min_visible_cosine: got 0"),
        (
            [
                "release.method=diffusion",
                "filters.min_original_cosine=0",
                "identities.num_virtual=2",
            ],
            r"filters\.min_original_cosine: got 0",
        ),
    ],
)
def test_bad_configs_are_refused_by_name(editing, dotlist, match):
    with pytest.raises(ConfigError, match=match):
        editing(*dotlist)


def test_what_does_not_fit_is_refused_before_anything_is_made(
    editing, inpainter, controlnet, weights
):
    with pytest.raises(
        ConfigError, match=r"release\.allow_real: got false with release\.method=edit"
    ):
        preflight(editing("release.allow_real=false"))
    with pytest.raises(CheckpointError, match=r"editing\.checkpoint: no checkpoint in"):
        preflight(editing("editing.method=uvit", "editing.checkpoint=/nowhere"))
    with pytest.raises(CheckpointError, match="holds a editor; want a controlnet"):
        preflight(
            editing(
                "editing.method=controlnet",
                f"base_model.path={controlnet[0]}",
                f"editing.checkpoint={inpainter}",
            )
        )
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: has sha256"):
        preflight(
            editing(
                "editing.method=uvit",
                f"editing.checkpoint={inpainter}",
                f"recognizer.checkpoint={weights / 'judge'}",
                "judge.checkpoint=null",
            )
        )


def test_a_controlnet_of_another_base_is_refused(editing, controlnet, tmp_path):
    other = save_base(tmp_path / "other", widths=(32, 64))
    with pytest.raises(CheckpointError, match="was trained on a base with sha256"):
        preflight(
            editing(
                "editing.method=controlnet",
                f"base_model.path={other}",
                f"editing.checkpoint={controlnet[1]}",
            )
        )


def test_a_source_that_changed_is_refused(editing, people, tmp_path):
    config = editing()
    store, _ = released(config)
    copy = tmp_path / "copy"
    shutil.copytree(people, copy)
    (copy / "person_0" / "0.png").rename(copy / "person_0" / "9.png")
    with pytest.raises(IntegrityError, match=r"source\.path: holds other faces than the release"):
        load_release(editing(f"source.path={copy}"), store)
