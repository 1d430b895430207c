"""People by number as a source: keys, files that several processes may write, no pixel too many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.config import RenderingConfig, SourceConfig, load
from factory.errors import SourceError
from factory.provenance.faces import holds_real_people, source_record
from factory.rendering import numbers, renderer
from factory.sources import open_source, read_faces
from factory.sources.decoding import decode_image
from factory.sources.rendered_source import RenderedSource
from tests.rendered import PX, KnownPixels

CONFIG = SourceConfig(
    kind="rendered", num_identities=3, images_per_person=2, first_person=40, image_px=PX
)


@pytest.fixture(autouse=True)
def known_pixels(monkeypatch, tmp_path):
    monkeypatch.setattr(renderer, "Renderer", KnownPixels)
    monkeypatch.setattr(numbers, "renderer_sha256", lambda: "of known pixels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_people_have_their_numbers_as_names():
    source = open_source(CONFIG)
    assert source.names == ["000040", "000041", "000042"]
    assert source.keys[:3] == ["000040/00", "000040/01", "000041/00"]
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    face = source[3]
    assert (face.key, face.label, face.image_HWC.shape) == ("000041/01", 1, (PX, PX, 3))
    assert face.landmarks_52.shape == (5, 2)


def test_what_is_rendered_once_is_read_afterwards(monkeypatch):
    first = read_faces(open_source(CONFIG), 0.0)

    def never(*args):
        raise AssertionError("it was rendered already")

    monkeypatch.setattr(renderer, "Renderer", never)
    again = read_faces(open_source(CONFIG), 0.0)
    assert (first.images_NHWC == again.images_NHWC).all()
    assert first.fingerprint == again.fingerprint


def test_a_person_is_the_same_in_any_source():
    """Sources with other first people share the files of those whom both have."""
    other = open_source(replace(CONFIG, first_person=41, num_identities=1))
    assert (open_source(CONFIG)[2].image_HWC == other[0].image_HWC).all()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"first_person": 41}, False),
        ({"num_identities": 4}, True),  # of which these are the first
        ({"images_per_person": 3}, False),
        ({"image_px": 48}, False),
        ({"rendering": RenderingConfig(seed=1)}, False),
        ({"rendering": RenderingConfig(samples=9)}, False),
        ({"rendering": RenderingConfig(masks=("skin",))}, True),
        ({"rendering": RenderingConfig(first_person=7)}, True),
    ],
)
def test_the_fingerprint_names_all_that_decides_pixels(change, same):
    changed = open_source(replace(CONFIG, **change))
    fingerprints = {open_source(CONFIG).fingerprint, changed.fingerprint}
    if "num_identities" in change:
        assert len(fingerprints) == 2
        assert (changed[0].image_HWC == open_source(CONFIG)[0].image_HWC).all()
    else:
        assert (len(fingerprints) == 1) == same


def test_nothing_that_cannot_be_kept_stands_in_the_way(monkeypatch, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert open_source(CONFIG)[0].image_HWC.shape == (PX, PX, 3)


def test_encoded_images_have_the_same_pixels():
    source = open_source(CONFIG)
    decoded = decode_image(source.encoded(1), "key", 10**6, 128)
    assert (decoded == source[1].image_HWC).all()


def test_nobody_in_it_is_real_and_its_head_model_is_credited():
    assert not holds_real_people(CONFIG)
    record = source_record(CONFIG, open_source(CONFIG))
    assert (record.kind, record.num_people, record.num_images) == ("rendered", 3, 6)
    assert record.license == "Apache-2.0"
    assert "ICT-FaceKit" in record.attribution


def test_some_people_are_held_out(tmp_path):
    file = tmp_path / "training.yaml"
    file.write_text("source: {kind: rendered, num_identities: 10, holdout_fraction: 0.2}\n")
    source = load(file, ["source.images_per_person=1", f"source.image_px={PX}"]).source
    faces = read_faces(open_source(source), 0.0)
    training, heldout = faces.split(source.num_heldout(len(faces.names)))
    assert (len(training), len(heldout)) == (8, 2)


def test_section_rendering_holds_for_every_rendered_source(tmp_path):
    file = tmp_path / "training.yaml"
    file.write_text("source: {kind: rendered, num_identities: 10}\n")
    dotlist = ["rendering.samples=7", "rendering.masks=[skin]"]
    assert load(file, dotlist).source.rendering == RenderingConfig(samples=7)
    own = load(file, [*dotlist, "source.rendering.samples=3"]).source.rendering
    assert own == RenderingConfig(samples=3)


def test_without_end_there_is_no_source():
    with pytest.raises(SourceError, match=r"source\.num_identities: nothing given"):
        RenderedSource(replace(CONFIG, num_identities=None))


def test_a_file_is_whole_or_not_there(tmp_path):
    read_faces(open_source(CONFIG), 0.0)
    files = sorted((tmp_path / "cache" / "face-factory" / "rendered").rglob("*.*"))
    assert [file.name for file in files] == [f"0000{n}-0002.npz" for n in (40, 41, 42)]
    with np.load(files[0]) as arrays:
        assert arrays["images"].shape == (2, PX, PX, 3)
