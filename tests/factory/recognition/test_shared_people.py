"""Made images of real people join their classes; virtual people join nobody's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig, load
from factory.errors import ConfigError
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.recognition.batches import open_training_set
from factory.recognition.shared_people import shared_names
from factory.store import LocalStore
from tests.conftest import PX, draw_face
from tests.releases import write_release

KEY = "a key that only tests have"


def source_of(folder, names):
    """Two images of each person, by folder."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for image in range(2):
            Image.fromarray(draw_face(number, image)).save(folder / name / f"{image}.png")
    return folder


def mixed(tmp_path, release, *items, same_people=True, workers=0):
    """Names, domains and images by class of the people of tmp_path/real and of a release."""
    (tmp_path / "c.yaml").write_text("{}\n")
    added = f"{{kind: webdataset, path: {release}, image_px: {PX}}}"
    fields = f"domain: made, same_people: {str(same_people).lower()}"
    config = load(
        tmp_path / "c.yaml",
        [
            *(f"source.path={tmp_path / 'real'}", "source.kind=folder", f"source.image_px={PX}"),
            f"batches.mix=[{{source: {added}, {fields}}}]",
            f"batches.num_workers={workers}",
            *items,
        ],
    )
    training_set, _ = open_training_set(config)
    sizes = np.bincount(training_set.labels).tolist()
    return dict(zip(training_set.names, sizes, strict=True)), training_set.domains


@pytest.mark.parametrize("workers", [0, 1])
def test_filled_people_get_their_images_and_virtual_ones_are_further_classes(tmp_path, workers):
    """VIGFace's rows: two photographs of ann and three made ones are a class of five."""
    source_of(tmp_path / "real", ["ann", "bob"])
    release = LocalStore(tmp_path / "release")
    write_release(release, [3], 3, names={2: "ann"}, px=PX)
    sizes, domains = mixed(tmp_path, release.root, workers=workers)
    virtual = {f"made/{number:012d}": 3 for number in (0, 1)}
    assert sizes == {"ann": 5, "bob": 2, **virtual}
    assert domains == ["real", "real", "made", "made"]
    apart, _ = mixed(tmp_path, release.root, same_people=False, workers=workers)
    assert apart == {"ann": 2, "bob": 2, "made/ann": 3, **virtual}


def test_a_number_that_stands_for_a_virtual_person_is_nobody_of_the_source(tmp_path):
    """The source is a release itself: its people are called by numbers, as the made ones are."""
    number = f"{0:012d}"
    source_of(tmp_path / "real", [number, "ann"])
    release = LocalStore(tmp_path / "release")
    write_release(release, [3], 3, names={1: number, 2: "ann"}, px=PX)
    sizes, _ = mixed(tmp_path, release.root)
    assert sizes == {number: 5, "ann": 5, f"made/{number}": 3}


def test_pseudonyms_are_found_by_their_key_and_refused_without(tmp_path, monkeypatch):
    source_of(tmp_path / "real", ["ann", "bob"])
    release = LocalStore(tmp_path / "release")
    write_release(release, [2], 3, names={1: pseudonym(KEY.encode(), "bob")}, px=PX)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert mixed(tmp_path, release.root)[0] == {"ann": 2, "bob": 5, f"made/{0:012d}": 3}
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=r"^same_people: 1 real people .* same_people=false"):
        mixed(tmp_path, release.root)
    assert len(mixed(tmp_path, release.root, same_people=False)[0]) == 4


def test_whoever_is_not_in_the_source_keeps_the_name_and_plain_sources_share_all(tmp_path):
    release = LocalStore(tmp_path / "release")
    write_release(release, [2], 1, names={1: "zoe"}, px=PX)
    config = SourceConfig(kind="webdataset", path=str(release.root))
    assert shared_names(config, ["ann"]) == {"zoe": "zoe"}
    assert shared_names(SourceConfig(kind="folder", path=str(tmp_path)), ["ann"]) is None
