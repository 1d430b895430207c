"""All that was planted in a folder is told, on a page and as JSON that stand alone."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from factory.config import SourceConfig, StoreConfig
from factory.errors import FactoryError, SourceError
from factory.inspection.inspect import inspect, opened, settings_of_any
from factory.inspection.looked import sampled_people
from factory.inspection.request import request_of
from factory.inspection.tables import summary
from factory.inspection.writing import JSON, PAGE, looked_and_written
from tests.factory.inspection.conftest import silent, write_faces


def test_contents_are_counted(planted):
    contents = planted.found.contents
    assert (contents.people, contents.images) == (21, 20 * 5 + 3 + 4)
    assert contents.looked_at_images == contents.images - 1, "one cannot be read"
    assert contents.people_by_num_images == [(3, 1), (5, 16), (6, 4)]
    assert {one.name: one.count for one in contents.formats} == {"PNG": 105, "JPEG": 1}
    assert [one.name for one in contents.sizes] == ["112x112"]
    assert planted.found.corrupt == 1
    assert planted.found.corrupt_first[0].startswith("p09/broken")


def test_aligned_faces_are_checked_and_not_moved(planted):
    faces = planted.found.faces
    assert faces.aligned_px == 112
    assert faces.found >= 100
    assert faces.residual_px.median < 6
    assert faces.beyond_fraction < 0.05


def test_copies_are_told_with_both_keys(planted):
    [across] = [p for p in planted.found.copies.across_pairs if p.kind == "same bytes"]
    assert {across.first, across.second} == {"p06/0", "p07/same"}
    within = {(p.first, p.second) for p in planted.found.copies.within_pairs}
    assert ("p08/1", "p08/again") in within
    assert planted.found.copies.same_bytes == 1


def test_label_noise_is_told_with_its_limits(planted):
    labels = planted.found.labels
    assert labels.judge == "starter:judge"
    assert {"p03", "second name"} in [{pair.first, pair.second} for pair in labels.doubles]
    flagged = {image.key for image in labels.mislabeled}
    assert {"p05/mislabeled", "p07/same"} <= flagged
    assert len(flagged) <= 2 + 0.05 * 106
    assert labels.mislabeled_estimate <= 5
    same = next(image for image in labels.mislabeled if image.key == "p07/same")
    assert same.nearest == "p06", "the person it was taken from"
    assert 0 < labels.mislabeled_limit < labels.doubles_limit < 1


def test_a_page_stands_alone_and_names_what_was_found(planted):
    page = (planted.out / PAGE).read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "nothing is loaded from elsewhere"
    for shown in ("p05/mislabeled", "second name", "p06/0 | p07/same", "p09/broken"):
        assert shown in page
    assert "--ink" in page, "the look of a report"
    assert page.count("<img") > 10


def test_a_page_explains_its_terms_and_fits_a_phone_and_the_dark(planted):
    page = (planted.out / PAGE).read_text()
    own = "The detector&#39;s confidence that it is a face, 0 to 1."
    assert f'<abbr tabindex="0" data-tip="{own}">score</abbr>' in page, "not the report's score"
    assert "<dt>cosine to the others</dt>" in page
    assert 'tip.id = "tip"' in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("<table") <= page.count('<div class="wide"><table'), "every table scrolls"


def test_a_page_has_notes_apart_from_what_was_found(planted, tmp_path):
    request = request_of([str(planted.root)], judge="none", sample=3)
    lines = []
    looked_and_written(request, tmp_path, silent, lines.append)
    findings, notes = (tmp_path / PAGE).read_text().split("<h3>Notes</h3>")
    assert "no judge was asked for" in notes.partition("</ul>")[0]
    assert "no judge was asked for" not in findings
    assert any(line.startswith("note         no judge") for line in lines)


def test_json_has_all_figures_and_no_nan(planted):
    def refuse(name):
        raise AssertionError(name)

    found = json.loads((planted.out / JSON).read_text(), parse_constant=refuse)
    assert found["contents"]["people"] == 21
    assert found["looks"]["quality"] is None
    assert found["labels"]["doubles"][0].keys() == {"first", "second", "cosine", "by"}


def test_the_same_set_gives_the_same_bytes(planted, tmp_path):
    request = request_of([str(planted.root), "source.real_people=false"])
    looked_and_written(request, tmp_path / "again", silent, lambda line: None)
    for name in (PAGE, JSON):
        assert (tmp_path / "again" / name).read_bytes() == (planted.out / name).read_bytes()


def test_a_terminal_gets_a_short_summary(planted):
    lines = summary(planted.found)
    assert len(lines) <= 20
    assert lines[1].startswith("contents     21 people, 107 images")
    assert any("likely one person" in line for line in lines)
    assert lines[-1].startswith("next         python -m jobs ")


def test_another_set_is_compared_by_name_image_and_face(planted, starter, tmp_path):
    write_faces(tmp_path / "other", starter.faces, range(15, 40), images=4)
    (tmp_path / "other/p15").rename(tmp_path / "other/somebody")
    shutil.copy(planted.root / "p01/2.png", tmp_path / "other/p30/copy.png")
    changes = ["source.real_people=false", "--against"]
    request = request_of([str(planted.root), *changes[:1]], against=str(tmp_path / "other"))
    against = inspect(request).found.against
    assert against.same_names == ["p16", "p17", "p18", "p19"]
    both = {(pair.first, pair.second) for pair in against.same_images}
    assert {("p01/2", "p30/copy"), ("p15/0", "somebody/0")} <= both
    assert against.num_same_images == 5 * 4 + 1
    people = {(pair.first, pair.second) for pair in against.same_people}
    assert {("p15", "somebody"), *((f"p{i}", f"p{i}") for i in range(16, 20))} <= people
    assert len(people) <= 6
    assert against.near_images >= 20


def test_another_set_is_read_by_its_own_settings(planted, starter, tmp_path):
    """What a person says of SOURCE, such as its first people, hides nobody of OTHER."""
    write_faces(tmp_path / "other", starter.faces, range(20, 24), images=2)
    (tmp_path / "points.csv").write_text("file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n")
    words = ["num_identities=1", "label_column=3", "parquet_label=id", "resize=true", "zoom=.5"]
    words += [f"landmarks={tmp_path}/points.csv", "max_pixels=1000000", "image_px=112"]
    given = [f"source.{word}" for word in words]
    request = request_of([str(planted.root), *given], against=str(tmp_path / "other"), judge="none")
    settings = settings_of_any(request.config.source)
    assert settings == SourceConfig(max_pixels=1_000_000)
    against = inspect(request).found.against
    assert (against.people, against.images) == (4, 8)


def test_a_bucket_beside_a_local_set_is_reached_as_the_section_store_says(monkeypatch):
    config = SourceConfig()
    seen = []

    def record(config):
        seen.append(config.store.endpoint_url)
        return []

    monkeypatch.setattr("factory.inspection.inspect.open_source", record)
    store = StoreConfig(endpoint_url="http://localhost:1")
    with pytest.raises(SourceError, match="holds no image"):
        opened("s3://bucket/set", config, frozenset(), store)
    assert seen == ["http://localhost:1"]


def test_without_a_judge_people_are_not_compared(planted):
    found = inspect(request_of([str(planted.root)], judge="none", sample=3)).found
    assert found.labels is None
    assert "no judge was asked for" in found.notes[-1]
    assert not any("judge" in line for line in found.warnings)
    assert found.contents.looked_at_people == 3


def test_a_sample_is_of_whole_people_by_their_names():
    names = [f"n{i}" for i in range(50)]
    chosen = sampled_people(names, 10)
    assert len(chosen) == 10
    assert np.array_equal(np.sort(chosen), chosen)
    shuffled = names[::-1]
    again = {shuffled[i] for i in sampled_people(shuffled, 10)}
    assert again == {names[i] for i in chosen}, "their places do not count"
    assert len(sampled_people(names, None)) == 50


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "'nowhere': no such file or folder"),
        ([], "got 0 places"),
        (["a", "b"], "b: is no .yaml"),
        (["starter", "--agains", "x"], "--agains: no such option"),
        (["starter", "source.image=3"], "source.image"),
    ],
)
def test_bad_words_are_one_line(words, line):
    with pytest.raises(FactoryError, match=re.escape(line)) as error:
        request_of(words)
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="no images in"):
        inspect(request_of([str(tmp_path)]))


def test_a_recipe_may_be_unfinished(tmp_path, planted):
    """A config says how a source is read; that it lacks a license or a release does not matter."""
    (tmp_path / "c.yaml").write_text(
        "source:\n  kind: webdataset\n  path: elsewhere\n  license: ???\n  image_px: 112\n"
        "release:\n  title: ???\n"
    )
    request = request_of([str(planted.root), str(tmp_path / "c.yaml")])
    assert (request.config.source.kind, request.config.source.path) == ("folder", str(planted.root))
    assert "source.image_px" in request.given
