"""A release of rendered people from config to seal: same bytes, truth, masks, what it says."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig, load
from factory.errors import ConfigError, PlanError
from factory.evaluation import separability
from factory.preview import preview
from factory.provenance.faces import descends_from_real, holds_real_people, source_record
from factory.records import Counts
from factory.release import build
from factory.rendering import numbers, renderer
from factory.rendering.parts import Label
from factory.rendering.people.people import draw_person
from factory.rendering.views.images import draw_view
from factory.shards import layout
from factory.shards.compact import Cut, compact
from factory.shards.manifest import read_plan
from factory.shards.plan_files import open_public_roster
from factory.shards.reader import metadata_rows, read_face
from factory.shards.verify import verify
from factory.shots.plan import view_number
from factory.sources import open_source
from factory.store import LocalStore
from factory.store.parquet import read_table
from factory.synthesis import render_loading
from factory.synthesis.reproduce import reproduce
from tests.factory.test_release import Killed, killed_after, make
from tests.rendered import PX, KnownPixels, rendered_config

pytest.importorskip("mitsuba")


def with_known_pixels(patch: pytest.MonkeyPatch) -> None:
    """Let everything be rendered by KnownPixels."""
    patch.setattr(render_loading, "Renderer", KnownPixels)
    patch.setattr(renderer, "Renderer", KnownPixels)
    patch.setattr(numbers, "renderer_sha256", lambda: "of known pixels")


@pytest.fixture(autouse=True)
def known_pixels(request, monkeypatch):
    """Known pixels, but where a test asks for `real_renders`."""
    if "real_renders" not in request.fixturenames:
        with_known_pixels(monkeypatch)


@pytest.fixture
def config(weights, tmp_path):
    return lambda *dotlist: rendered_config(weights, tmp_path, *dotlist)


@pytest.fixture(scope="module")
def sealed(weights, tmp_path_factory):
    """(config, store) of a release that tests only read."""
    masks = "rendering.masks=[labels,skin,occluder]"
    settings = rendered_config(
        weights, tmp_path_factory.mktemp("sealed"), masks, "rendering.first_person=70"
    )
    with pytest.MonkeyPatch.context() as patch:
        with_known_pixels(patch)
        return settings, make(settings)[0]


def members(store: LocalStore, unit: int = 0) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(store.get(layout.tar_name(unit)))) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def test_a_release_needs_no_network_and_tells_the_truth(sealed):
    settings, store = sealed
    assert verify(store) == []
    plan = read_plan(store)
    assert plan.request.weights == {}
    row = metadata_rows(store, 1)[3]
    person = draw_person(settings.rendering, 73)
    view = draw_view(settings.rendering, person, 1)
    assert (row["key"], row["person"], row["view"]) == ("000003_0001", 73, 1)
    assert row["seed"] == view.seed
    assert row["yaw"] == pytest.approx(view.pose.yaw, abs=1e-3)
    assert row["pitch"] == pytest.approx(view.pose.pitch, abs=1e-3)
    assert (row["group"], row["hair"], row["hat"]) == (person.group, person.hair.style, "")
    assert np.shape(row["landmarks_68"]) == (68, 2)
    assert row["occluded"] == 0.5
    assert row["own_cosine"] is None
    assert row["num_steps"] == settings.rendering.samples
    sample = json.loads(members(store, 1)["000003_0001.json"])
    assert sample["person"] == 73
    assert np.allclose(sample["landmarks_5"], row["landmarks_5"], atol=1e-4)


def test_masks_lie_beside_the_image_and_are_no_images(sealed):
    store = sealed[1]
    inside = members(store)
    key = "000001_0000"
    own = [name.removeprefix(key) for name in inside if name.startswith(key)]
    assert own == [".jpg", ".cls", ".json", ".labels.png", ".mask_skin.png", ".mask_occluder.png"]
    labels = np.array(Image.open(io.BytesIO(inside[f"{key}.labels.png"])))
    assert labels[0, 0] == Label.OCCLUDER
    assert labels[-1, 0] == Label.SKIN
    skin = np.array(Image.open(io.BytesIO(inside[f"{key}.mask_skin.png"])))
    assert ((skin == 255) == (labels == Label.SKIN)).all()
    assert set(np.unique(skin)) == {0, 255}
    source = open_source(SourceConfig(kind="webdataset", path=str(store.root), image_px=PX))
    assert len(source) == 8
    assert not source.left_out


def test_masks_of_loose_tars_are_no_images_either(sealed, tmp_path):
    store = sealed[1]
    loose = tmp_path / "loose.tar"
    loose.write_bytes(store.get(layout.tar_name(0)))
    source = open_source(SourceConfig(kind="webdataset", path=str(loose), image_px=PX))
    assert len(source) == 4
    assert not source.left_out


def test_masks_follow_the_images_of_png_releases(config):
    store, _ = make(config("rendering.masks=[labels]", "shards.image_format=png"))
    croissant = json.loads(store.get(layout.CROISSANT))
    patterns = {one["@id"]: one.get("includes") for one in croissant["distribution"]}
    assert patterns["images"] == "*[0-9].png"
    row = metadata_rows(store, 0)[0]
    assert Image.open(io.BytesIO(read_face(store, 0, row))).mode == "RGB"


@pytest.mark.parametrize("commits", [0, 1])
def test_a_dead_driver_changes_no_byte(config, tmp_path, commits):
    masks = "rendering.masks=[labels]"
    whole, _ = make(config(masks, f"store.url={tmp_path / 'whole'}"))
    torn = config(masks, f"store.url={tmp_path / 'torn'}")
    with pytest.raises(Killed):
        build(torn, killed_after(commits), log=lambda line: None)
    assert make(torn)[0].get(layout.SUMS) == whole.get(layout.SUMS)


def test_bytes_hang_on_no_batch(config, tmp_path):
    by_two, _ = make(config(f"store.url={tmp_path / 'two'}"))
    by_four, _ = make(config(f"store.url={tmp_path / 'four'}", "plan.micro_batch=4"))
    for unit in (0, 1):
        assert by_two.get(layout.tar_name(unit)) == by_four.get(layout.tar_name(unit))


@pytest.fixture
def real_renders():
    """Mitsuba, on tiny images."""


def test_real_renders_are_the_same_when_resumed(real_renders, config, tmp_path):
    people = ("identities.num_virtual=2", "plan.images_per_identity=1", "source.num_identities=2")
    people += ("plan.identities_per_unit=1", "plan.micro_batch=1")
    whole, _ = make(config(*people, f"store.url={tmp_path / 'whole'}"))
    torn = config(*people, f"store.url={tmp_path / 'torn'}")
    with pytest.raises(Killed):
        build(torn, killed_after(0), log=lambda line: None)
    assert make(torn)[0].get(layout.SUMS) == whole.get(layout.SUMS)
    image = np.array(Image.open(io.BytesIO(read_face(whole, 0, metadata_rows(whole, 0)[0]))))
    assert image.shape == (PX, PX, 3)
    assert image.std() > 5, "a head before a background"


def test_an_image_is_reproduced_from_its_row(sealed):
    settings, store = sealed
    again = reproduce(settings, store, "000002_0001")
    assert again.equal
    assert again.machine_differs is None


class MostlyHidden(KnownPixels):
    """Hides a face in every image but those whose view's number is of a second attempt."""

    def render(self, person, view):
        from dataclasses import replace

        hidden = 0.9 if view.image < 10_000 else 0.1
        return replace(super().render(person, view), occluded_fraction=hidden)


def test_hidden_faces_are_drawn_again_as_other_images(config, monkeypatch):
    monkeypatch.setattr(render_loading, "Renderer", MostlyHidden)
    store, _ = make(config("filters.max_occluded=0.7"))
    body = json.loads(store.get(layout.MANIFEST))
    counts = Counts(**body["counts"])
    assert (counts.kept, counts.rejected, counts.reasons) == (8, 8, {"occluded": 8})
    rows = metadata_rows(store, 0)
    assert {row["view"] for row in rows} == {view_number(0, 1), view_number(1, 1)}
    rejects = read_table(store.get(layout.rejects_name(0))).to_pylist()
    assert {row["occluded"] for row in rejects} == {0.9}


def test_what_it_says_of_itself_is_true(sealed):
    store = sealed[1]
    card = store.get(layout.CARD).decode()
    assert "**Nobody in it exists.**" in card
    assert "rendered by path tracing" in card
    assert "no network that" not in card
    assert "diffusion" not in card
    assert "`.labels.png`" in card
    for name in (layout.NOTICE, layout.CARD):
        assert "ICT-FaceKit" in store.get(name).decode()
    assert "MIT" in store.get(layout.LICENSE).decode()
    lineage = json.loads(store.get(layout.LINEAGE))
    assert [one["role"] for one in lineage["sources"]] == ["source", "head_model"]
    assert lineage["networks"] == []
    manifest = json.loads(store.get(layout.MANIFEST))
    assert manifest["holds_real_identities"] is False


def test_a_rendered_release_is_a_source_without_real_people(sealed):
    store = sealed[1]
    source = SourceConfig(kind="webdataset", path=str(store.root), image_px=PX)
    assert not holds_real_people(source)
    assert not descends_from_real(source)
    record = source_record(source, open_source(source))
    assert "ICT-FaceKit" in record.attribution


@pytest.mark.filterwarnings("ignore")  # because mlcroissant's dependencies warn
def test_mlcroissant_reads_truth_and_masks(sealed, tmp_path, monkeypatch):
    import mlcroissant
    from etils import epath

    unpacking = "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH"
    monkeypatch.setattr(unpacking, epath.Path(tmp_path / "unpacked"))
    store = sealed[1]
    dataset = mlcroissant.Dataset(jsonld=store.root / layout.CROISSANT)
    assert not dataset.metadata.ctx.issues.errors
    truths = {one["truths/key"].decode(): one for one in dataset.records("truths")}
    rows = [row for unit in (0, 1) for row in metadata_rows(store, unit)]
    assert {row["key"]: row["yaw"] for row in rows} == {
        key: one["truths/yaw"] for key, one in truths.items()
    }
    assert np.shape(truths[rows[0]["key"]]["truths/landmarks_68"]) == (68, 2)
    masks = list(dataset.records("mask_labels"))
    assert len(masks) == 8
    assert np.unique(np.array(masks[0]["mask_labels/mask"])).tolist() == [
        Label.SKIN,
        Label.HAIR,
        Label.OCCLUDER,
    ]


def test_the_audit_draws_traits_anew_and_sees_others(sealed):
    settings, store = sealed
    plan = read_plan(store)
    roster = open_public_roster(store, plan)
    source = open_source(settings.source)
    found = separability.audit(settings, plan, roster, source, store)
    assert found.other == pytest.approx(roster.column("nearest_other_cosine").max(), abs=1e-5)
    roster.unit_ND[0] = np.roll(roster.unit_ND[0], 1)
    with pytest.raises(Exception, match=r"embeddings\.npy"):
        separability.audit(settings, plan, roster, source, store)


def test_a_compacted_release_keeps_truth_and_masks(sealed):
    store = sealed[1]
    dataset = LocalStore(store.root.parent.parent)
    compact(dataset, "0.1.0", "0.1.0-c", Cut(4))
    other = dataset.below("releases/0.1.0-c")
    assert [n for n in members(other) if n.endswith(".labels.png")] == [
        f"{person:06d}_{image:04d}.labels.png" for person in range(4) for image in range(2)
    ]
    rows = metadata_rows(other, 0)
    assert [row["person"] for row in rows] == [70, 70, 71, 71, 72, 72, 73, 73]
    assert np.shape(rows[0]["landmarks_68"]) == (68, 2)


def test_a_preview_shows_people_without_cosines(config, tmp_path):
    made = preview(config(), 2, tmp_path / "sheet", log=lambda line: None)
    assert made is not None
    assert (len(made.people), made.num_kept) == (2, 4)
    assert (tmp_path / "sheet" / "index.html").read_text().count("<img") == 4


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("filters.min_own_cosine=0.4", r"filters\.min_own_cosine: got 0\.4 .* asks no recognizer"),
        ("identities.proposal=pca", r"identities\.proposal: got pca .* want rendered"),
        ("source.kind=folder source.path=x", r"source\.kind: got folder"),
        ("identities.quotas={a: 1.0}", r"identities\.quotas: .* want rendering\.groups"),
        ("rendering.masks=[nose]", r"rendering\.masks: got 'nose'"),
        ("rendering.masks=[skin,skin]", r"rendering\.masks: .* twice"),
        ("rendering.groups={a: 0.5}", r"rendering\.groups: got 'a'; want tone1"),
        ("identities.extends=0.0.9", r"identities\.extends: .* renders people by their numbers"),
        ("source.num_identities=null", r"source\.num_identities: nothing given"),
        ("source.path=somewhere", r"source\.path: got 'somewhere' with source\.kind=rendered"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(config, setting, said):
    with pytest.raises(ConfigError, match=said) as refused:
        config(*setting.split(" source.path") if "folder" not in setting else setting.split())
    assert "\n" not in str(refused.value)


def test_other_methods_refuse_what_only_rendering_knows(release_config):
    with pytest.raises(ConfigError, match=r"filters\.max_occluded: got 0\.5"):
        release_config("filters.max_occluded=0.5")
    with pytest.raises(ConfigError, match=r"identities\.proposal: got rendered"):
        release_config("identities.proposal=rendered")


def test_another_look_is_another_plan(config):
    settings = config()
    make(settings)
    with pytest.raises(PlanError, match=r"rendering\.rendering\.samples: 1 there, 2 asked for"):
        make(config("rendering.samples=2"))


def test_the_recipe_loads():
    recipe = load("configs/releases/rendered.yaml", [])
    assert recipe.release.method == "render"
    assert recipe.source.rendering.samples == recipe.rendering.samples
