"""CVLface's folders: who is who by train.tsv, pixels of a .rec or files, points by line number."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.faces import require_license
from factory.sources import open_source, training_faces
from factory.sources.alignment import TEMPLATE_52, align
from factory.sources.alignment_facts import alignment_facts
from factory.sources.cvlface import CvlfaceSource
from factory.sources.recordio import write_records
from factory.training.identity import difference, faces_facts, to_text
from tests.conftest import PX
from tests.factory.sources.test_record_source import write
from tests.factory.sources.test_recordio import JPEGS, LABELS, jpeg
from tests.unaligned import SIDE, draw_unaligned

PEOPLE = [int(label) for label in LABELS]
POINTS_N52 = np.linspace(0.2, 0.8, 60).reshape(6, 5, 2)


def source_of(root: Path, **fields) -> SourceConfig:
    return SourceConfig(kind="cvlface", path=str(root), image_px=PX, **fields)


def table(root: Path, rows: list[tuple]) -> None:
    (root / "train.tsv").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))


def points(path: Path, points_N52: np.ndarray, rows=None, score: bool = False) -> None:
    rows = range(len(points_N52)) if rows is None else rows
    lines = ["idx," + ",".join(f"ldmk_{i}" for i in range(15 if score else 10))]
    for row, points_52 in zip(rows, points_N52, strict=True):
        numbers = [[*point, 0.5] if score else point for point in points_52]
        lines.append(f"{row}," + ",".join(f"{number:.6f}" for part in numbers for number in part))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(params=["bundled", "insightface", "images"])
def root(request, tmp_path) -> Path:
    """The faces as CVLface bundles them, as it lists insightface's .rec, and as files."""
    first = 1 if request.param == "insightface" else 0
    table(tmp_path, [(first + i, f"{p}/{first + i}.jpg", p) for i, p in enumerate(PEOPLE)])
    if request.param == "bundled":
        write(tmp_path / "train.rec", [(float(p), JPEGS[i]) for i, p in enumerate(PEOPLE)])
    elif request.param == "insightface":
        write_records(tmp_path / "train.rec", LABELS, JPEGS)
    else:
        for i, person in enumerate(PEOPLE):
            (tmp_path / str(person)).mkdir(exist_ok=True)
            (tmp_path / str(person) / f"{i}.jpg").write_bytes(JPEGS[i])
    return tmp_path


def counts(source) -> dict[str, tuple]:
    return {part.reason: (part.count, part.first) for part in source.left_out}


def test_all_three_ways_are_read(root):
    source = open_source(source_of(root))
    assert isinstance(source, CvlfaceSource)
    assert source.labels.tolist() == PEOPLE
    assert source.names == ["00000000", "00000001", "00000002"]
    first = int(source.keys[0][-1])
    assert list(source.keys) == [f"{p}/{first + i}" for i, p in enumerate(PEOPLE)]
    assert [bytes(source.encoded(i)) for i in range(6)] == JPEGS
    assert (source[3].label, source[3].landmarks_52) == (2, None)
    assert counts(source) == {}
    assert open_source(source_of(root / "train.tsv")).fingerprint == source.fingerprint
    with pytest.raises(ConfigError, match=r"source\.license: nothing given"):
        require_license(source_of(root))


@pytest.mark.parametrize("score", [False, True])
def test_points_are_those_of_the_line_in_pixels_of_the_image(root, score):
    points(root / "ldmk_5points.csv", POINTS_N52[::-1], rows=range(5, -1, -1), score=score)
    source = open_source(source_of(root))
    for index in range(6):
        assert source[index].landmarks_52 == pytest.approx(POINTS_N52[index] * PX, abs=1e-4)
    own = root / "own.csv"
    head = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))
    plausible_52 = TEMPLATE_52.round() * PX / 112
    own.write_text(f"{head}\n{source.keys[1]}.jpg,{','.join(map(str, plausible_52.ravel()))}\n")
    told = open_source(source_of(root, landmarks=str(own)))
    assert told[1].landmarks_52 == pytest.approx(plausible_52)
    assert told[0].landmarks_52 is None


def test_points_align_images_of_another_size_and_are_in_the_facts(tmp_path):
    """A face that lies elsewhere in a wide image comes out as its points say."""
    images = draw_unaligned(tmp_path / "images")
    people = sorted(folder.name for folder in images.iterdir())
    shutil.copytree(images, tmp_path / "set")
    names = [
        (i, file.name) for i, p in enumerate(people) for file in sorted((images / p).iterdir())
    ]
    table(tmp_path / "set", [(k, f"{people[i]}/{n}", i) for k, (i, n) in enumerate(names)])
    five = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]])
    points(tmp_path / "set" / "ldmk_5points.csv", np.repeat(five[None], len(names), 0))
    rows = "".join(
        f"{people[i]}/{n}," + ",".join(str(x) for x in (five * SIDE).ravel()) + "\n"
        for i, n in names
    )
    head = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))
    (tmp_path / "points.csv").write_text(f"{head}\n{rows}")
    config = source_of(tmp_path / "set")
    by_folder = replace(
        config, kind="folder", path=str(images), landmarks=str(tmp_path / "points.csv")
    )
    here, there = training_faces(config)[0], training_faces(by_folder)[0]
    assert np.array_equal(here.images_NHWC, there.images_NHWC)

    def facts() -> str:
        return to_text({"source": faces_facts(config, training_faces(config)[0])})

    before = facts()
    points(tmp_path / "set" / "ldmk_5points.csv", np.repeat(five[None] * 0.9, len(names), 0))
    assert "source.alignment.landmarks" in difference(before, facts())
    assert alignment_facts(config).aligns
    assert alignment_facts(replace(config, zoom=0.5)).zoom == 0.5


def test_points_are_fractions_of_width_and_of_height(tmp_path):
    wide = np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8)
    (tmp_path / "0").mkdir()
    Image.fromarray(wide).save(tmp_path / "0" / "a.png")
    table(tmp_path, [(0, "0/a.png", 0)])
    fractions_52 = np.array([[0.3, 0.4], [0.5, 0.4], [0.4, 0.6], [0.32, 0.8], [0.48, 0.8]])
    points(tmp_path / "ldmk_5points.csv", fractions_52[None])
    face = open_source(source_of(tmp_path))[0]
    assert np.array_equal(face.image_HWC, align(wide, fractions_52 * [60, 30], PX))


def test_rows_without_an_image_and_images_without_a_row_are_counted(root):
    lines = (root / "train.tsv").read_text().splitlines()
    gone = (root / "2" / "5.jpg").is_file()
    if gone:
        (root / "2" / "5.jpg").unlink()
    else:
        lines[5] = lines[5].replace(lines[5].split("\t")[0], "77", 1)
        (root / "train.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError, match=r"max_left_out_fraction: [12] of [67] are not read"):
        open_source(source_of(root))
    source = open_source(source_of(root, max_left_out_fraction=0.4))
    wanted = {"missing_image": (1, (lines[5].split("\t")[1],))}
    if not gone:
        number = int(lines[4].split("\t")[0]) + 1
        wanted |= {"no_label": (1, (f"record {number}",))}
    assert counts(source) == wanted
    assert len(source) == 5


def test_points_of_lines_whose_image_is_gone_move_nobody_elses(root):
    points(root / "ldmk_5points.csv", POINTS_N52[1:], rows=range(1, 6))
    lines = (root / "train.tsv").read_text().splitlines(keepends=True)
    if not (root / "train.rec").exists():
        lines[1] = lines[1].replace("0/", "0/x", 1)
    (root / "train.tsv").write_text("".join(lines))
    source = open_source(source_of(root, max_left_out_fraction=0.5))
    assert source[0].landmarks_52 is None
    assert source[len(source) - 1].landmarks_52 == pytest.approx(POINTS_N52[5] * PX, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("idx\tpath\tlabel\n", "line 1 of .* has 3 columns, or a key or class that is no number"),
        ("0\ta/b.jpg\t0\n1\ta/c.jpg\n", "line 2 of .* has 2 columns"),
        ("0\t../b.jpg\t0\n", "the path in line 1 of .* leads out of its folder"),
        ("0\t/etc/b.jpg\t0\n", "the path in line 1 of .* leads out of its folder"),
        ("0\ta/b.jpg\t0\n0\ta/b.jpg\t1\n", "1 paths of .* come twice"),
        ("0\ta/b.jpg\t-1\n", "a key or class that is no number"),
        ("9\tx/b.jpg\t0\n", "none of the 1 images that .* lists is there; want train.rec"),
    ],
)
def test_tables_that_are_none_are_refused_with_their_line(tmp_path, text, wanted):
    (tmp_path / "train.tsv").write_text(text)
    (tmp_path / "a").mkdir()
    for name in "bc":
        (tmp_path / "a" / f"{name}.jpg").write_bytes(JPEGS[0])
    with pytest.raises(SourceError, match=wanted):
        open_source(source_of(tmp_path, max_left_out_fraction=1.0))


def test_a_table_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "train.tsv").write_bytes("0\té/b.jpg\t0\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"is not UTF-8 text \(UnicodeDecodeError\)"):
        open_source(source_of(tmp_path))
    (tmp_path / "train.tsv").unlink()
    with pytest.raises(SourceError, match=r"no train\.tsv in .*; want a folder with train\.tsv"):
        open_source(source_of(tmp_path))


def test_a_table_of_another_rec_is_refused(tmp_path):
    write(tmp_path / "train.rec", [(float(p), JPEGS[i]) for i, p in enumerate(PEOPLE)])
    table(tmp_path, [(i, f"{p}/{i}.jpg", p) for i, p in enumerate(reversed(PEOPLE))])
    with pytest.raises(
        SourceError, match=r"line 1 of train\.tsv says class 2, .* record .* has 0;"
    ):
        open_source(source_of(tmp_path))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("idx\n0,a\n", "is not numbers under a header"),
        ("idx\n0,1,2\n", "has 3 columns; want idx and x,y, or x,y,score, of five points"),
        ("idx\n9" + ",.5" * 10, "idx of .* must be numbers of lines of train.tsv, from 0 to 5"),
        ("idx\n.5" + ",.5" * 10, "idx of .* must be numbers of lines"),
        ("idx\n0" + ",.5" * 10 + "\n0" + ",.5" * 10, "idx of .* must be numbers of lines"),
        ("idx\n0" + ",50" * 10, "has points in pixels; want fractions"),
    ],
)
def test_tables_of_points_that_are_none_are_refused(tmp_path, text, wanted):
    table(tmp_path, [(i, f"{p}/{i}.jpg", p) for i, p in enumerate(PEOPLE)])
    write(tmp_path / "train.rec", [(float(p), JPEGS[i]) for i, p in enumerate(PEOPLE)])
    (tmp_path / "ldmk_5points.csv").write_text(text)
    with pytest.raises(SourceError, match=wanted):
        open_source(source_of(tmp_path))
    (tmp_path / "ldmk_34points.csv").write_text(text)
    with pytest.raises(SourceError, match=r"holds 2 files ldmk_\*points\.csv; want one"):
        open_source(source_of(tmp_path))


def test_workers_and_copies_read_the_same(root):
    source = open_source(source_of(root))
    wanted = [source[i].image_HWC for i in range(6)]
    copy = pickle.loads(pickle.dumps(source))
    loader = DataLoader(copy, batch_size=None, num_workers=2, collate_fn=lambda face: face)
    for face, image in zip(loader, wanted, strict=True):
        assert np.array_equal(face.image_HWC, image)


def test_what_a_source_holds_is_its_fingerprint(tmp_path):
    for name, jpegs in (("one", JPEGS), ("other", [jpeg(9, 9), *JPEGS[1:]])):
        (tmp_path / name / "0").mkdir(parents=True)
        table(tmp_path / name, [(i, f"0/{i}.jpg", 0) for i in range(6)])
        for i, data in enumerate(jpegs):
            (tmp_path / name / "0" / f"{i}.jpg").write_bytes(data)
    one, other = (open_source(source_of(tmp_path / name)) for name in ("one", "other"))
    assert one.fingerprint != other.fingerprint
    points(tmp_path / "one" / "ldmk_5points.csv", POINTS_N52)
    with_points = open_source(source_of(tmp_path / "one")).fingerprint
    table(tmp_path / "one", [(i, f"0/{i}.jpg", i % 2) for i in range(6)])
    of_two_people = open_source(source_of(tmp_path / "one")).fingerprint
    assert len({one.fingerprint, with_points, of_two_people}) == 3


def test_images_that_the_table_does_not_list_are_counted(tmp_path):
    for name in ("0/0.jpg", "0/1.JPG", "1/2.jpg", ".hidden/3.jpg", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(JPEGS[0])
    table(tmp_path, [(0, "0/0.jpg", 0)])
    with pytest.raises(SourceError, match=r"2 of 3 are not read \(2 images without a label"):
        open_source(source_of(tmp_path))
    source = open_source(source_of(tmp_path, max_left_out_fraction=0.9))
    assert source.left_out[0].first == ("0/1.JPG", "1/2.jpg")
