"""Protocols: drawn by a seed, told by a table, laid out in folders, refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from factory.config import IdentificationConfig, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.recognition.search_protocols import drawn, of_table, of_two_sources, open_protocol
from factory.sources import FaceSet
from tests.conftest import PX, draw_face


def source_of(labels, names=None) -> FaceSet:
    labels = np.array(labels)
    names = names or [f"p{i}" for i in range(labels.max() + 1)]
    keys = [f"{names[label]}/{row}" for row, label in enumerate(labels)]
    return FaceSet(np.zeros((len(labels), 1, 1, 3), np.uint8), labels, keys, names, [])


def test_one_image_of_each_mated_person_is_enrolled_and_all_others_are_searched_for():
    source = source_of(np.repeat(np.arange(20), 4))
    protocol = drawn(source, 0.3, seed=1)
    gallery, probes = protocol.gallery, protocol.probes
    assert len(gallery.index_I) == len(set(gallery.person_T.tolist())) == 14
    assert sorted([*gallery.index_I, *probes.index_I]) == list(range(80))
    assert gallery.person_T.tolist() == source.labels[gallery.index_I].tolist()
    assert probes.person_T.tolist() == source.labels[probes.index_I].tolist()
    assert (~np.isin(probes.person_T, gallery.person_T)).sum() == 6 * 4
    assert gallery.template_I.tolist() == list(range(14))


def test_a_draw_goes_by_its_seed_and_takes_every_image_alike():
    source = source_of(np.repeat(np.arange(30), 3))
    again = drawn(source, 0.2, seed=4).gallery.index_I.tolist()
    assert drawn(source, 0.2, seed=4).gallery.index_I.tolist() == again
    assert drawn(source, 0.2, seed=5).gallery.index_I.tolist() != again
    place = np.concatenate([drawn(source, 0.0, s).gallery.index_I % 3 for s in range(40)])
    assert np.bincount(place) == pytest.approx(np.full(3, 400), abs=70)


def test_whoever_has_one_image_is_enrolled_and_not_searched_for():
    protocol = drawn(source_of([0, 1, 1]), 0.0, seed=0)
    assert protocol.gallery.person_T.tolist() == [0, 1]
    assert protocol.probes.person_T.tolist() == [1]


def test_people_of_two_sources_are_known_by_their_names():
    gallery = source_of([0, 1], ["Zoe\u0308", "b"])
    probes = source_of([0, 1, 2], ["a", "b", "Zoë"])
    protocol = of_two_sources(gallery, probes)
    assert protocol.gallery.person_T.tolist() == [0, 1]
    assert protocol.probes.person_T.tolist()[1:] == [1, 0]
    assert protocol.probes.person_T[0] not in (0, 1)
    assert protocol.gallery.source is gallery
    assert protocol.probes.source is probes


def test_a_table_names_roles_and_templates(tmp_path):
    source = source_of([0, 0, 0, 1, 1, 2])
    file = tmp_path / "roles.csv"
    file.write_text(
        "key,role,template\np0/0,gallery,t\np0/1,gallery,t\np1/3,gallery,\np0/2,probe,t\n"
        "p1/4,probe,\np2/5,probe,u\n"
    )
    protocol = of_table(source, str(file))
    assert protocol.gallery.index_I.tolist() == [0, 1, 3]
    assert protocol.gallery.template_I.tolist() == [0, 0, 1]
    assert protocol.gallery.person_T.tolist() == [0, 1]
    assert protocol.probes.index_I.tolist() == [2, 4, 5]
    assert protocol.probes.person_T.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("key,side\np0/0,gallery\n", "line 1 has columns key, side"),
        ("key,role\np0/0,galery\n", "line 2 has a role that is neither gallery nor probe"),
        ("key,role\np9/0,probe\n", "line 2 names an image that is not in the source"),
        ("key,role\np0/0,gallery\np0/0,probe\n", "line 3 has an image as a probe that is in"),
        (
            "key,role,template\np0/0,gallery,t\np1/2,gallery,t\n",
            "line 3 has a template that is of two people",
        ),
        ("key,role\np0/0,gallery\n", "has no row of role probe"),
    ],
)
def test_a_table_that_says_something_else_is_one_line(tmp_path, text, line):
    (tmp_path / "roles.csv").write_text(text)
    with pytest.raises(SourceError) as caught:
        of_table(source_of([0, 0, 1, 1]), str(tmp_path / "roles.csv"))
    message = str(caught.value)
    assert message.startswith("identification.table: ")
    assert line in message
    assert message.endswith("; want a CSV with columns key, role[, template]")


def tiny_faces(root, folders):
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            Image.fromarray(draw_face(number, 0)).save(root / folder / f"{name}.png")
    return SourceConfig(kind="folder", path=str(root), image_px=PX)


TINY = {
    "Gallery_Match": ["7_1", "7_2", "12_1"],
    "Gallery_Distractor": ["7_9", "-100_3"],
    "Probe": ["7_3", "12_2"],
}


def test_folders_of_tinyface_are_read(tmp_path):
    config = tiny_faces(tmp_path / "Testing_Set", TINY)
    section = IdentificationConfig(protocol="tinyface")
    protocol = open_protocol(section, config)
    keys = config and protocol.gallery.source.keys
    by_key = {
        keys[index]: person
        for index, person in zip(protocol.gallery.index_I, protocol.gallery.person_T, strict=True)
    }
    probes = {
        keys[index]: person
        for index, person in zip(protocol.probes.index_I, protocol.probes.person_T, strict=True)
    }
    assert by_key["Gallery_Match/7_1"] == by_key["Gallery_Match/7_2"] == probes["Probe/7_3"]
    assert by_key["Gallery_Match/12_1"] == probes["Probe/12_2"]
    assert sorted(p for p in by_key.values() if p < 0) == [-2, -1]
    one = open_protocol(IdentificationConfig(protocol="tinyface", templates="person"), config)
    assert len(one.gallery.person_T) == 4
    assert sorted(np.bincount(one.gallery.template_I)) == [1, 1, 1, 2]


def test_other_folders_are_not_tinyface(tmp_path):
    config = tiny_faces(tmp_path / "f", TINY | {"More": ["1_1"]})
    with pytest.raises(SourceError, match="got 4 folders of images, 1 of them none of TinyFace's"):
        open_protocol(IdentificationConfig(protocol="tinyface"), config)
    config = tiny_faces(tmp_path / "g", {"Probe": ["1_1"], "Gallery_Distractor": ["2_1"]})
    with pytest.raises(SourceError, match=r"want Gallery_Match, Probe and"):
        open_protocol(IdentificationConfig(protocol="tinyface"), config)


def test_two_folders_and_probes_of_strangers_alone(tmp_path):
    config = tiny_faces(tmp_path / "probes", {"a": ["1", "2"], "b": ["1"]})
    tiny_faces(tmp_path / "gallery", {"a": ["3"], "c": ["1"]})
    tiny_faces(tmp_path / "others", {"d": ["3"]})
    section = IdentificationConfig(protocol="folders", gallery=str(tmp_path / "gallery"))
    protocol = open_protocol(section, config)
    assert protocol.gallery.source.keys == ["a/3", "c/1"]
    assert protocol.probes.source.keys == ["a/1", "a/2", "b/1"]
    other = IdentificationConfig(protocol="folders", gallery=str(tmp_path / "others"))
    with pytest.raises(SourceError, match="nobody of 3 probes is among 1 entries of the gallery"):
        open_protocol(other, config)


def test_a_distractor_is_nobody_who_is_searched_for(tmp_path):
    config = tiny_faces(tmp_path / "t", TINY | {"Gallery_Match": ["8_1"]})
    with pytest.raises(SourceError, match="nobody of 2 probes is among 3 entries"):
        open_protocol(IdentificationConfig(protocol="tinyface"), config)


def test_the_sections_fields_go_together():
    from factory.config.identification import check_identification

    for section, kind, line in (
        (IdentificationConfig(table="x.csv"), "folder", "identification.table: got 'x.csv' with"),
        (IdentificationConfig(protocol="folders"), "folder", "identification.gallery: got None"),
        (IdentificationConfig(protocol="tinyface"), "lmdb", "with source.kind=lmdb; want source"),
        (IdentificationConfig(ranks=(0,)), "folder", r"identification.ranks: got \[0\]; want"),
        (IdentificationConfig(fpirs=(0.1, 1.0)), "folder", r"identification.fpirs: got \[0.1, 1"),
    ):
        with pytest.raises(ConfigError, match=line):
            check_identification(section, kind)
