"""A source's record: what was used of it, under which license; a release brings its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, IntegrityError, SourceError
from factory.provenance.faces import STARTER_CREDIT, require_license, source_record
from factory.provenance.licenses import LICENSES, allows, terms_of
from factory.provenance.lineage import FILE, Lineage, NetworkRecord, SourceRecord
from factory.provenance.withdrawn import Withdrawn, mark_withdrawn
from factory.sources import open_source
from factory.store import LocalStore
from tests.conftest import IMAGES, PEOPLE
from tests.releases import seal_again, write_release


@pytest.fixture
def sealed(tmp_path):
    """Function of licenses of sources and of the release -> the config of a release as a source."""

    def make(*of: str, stated: str = "other") -> SourceConfig:
        store = LocalStore(tmp_path / "_".join([*of, stated]).replace("/", ""))
        write_release(store, [2], 3)
        sources = tuple(SourceRecord("folder", x, 5, 2, True, x, f"by {x}") for x in of)
        store.put(FILE, Lineage(sources, (), stated).to_json())
        seal_again(store)
        return SourceConfig(kind="webdataset", path=str(store.root), image_px=16)

    return make


def record(config: SourceConfig, **facts) -> SourceRecord:
    return source_record(config, open_source(config), **facts)


def test_a_record_counts_what_is_used(people):
    config = SourceConfig(kind="folder", path=str(people), license="CC-BY-4.0", attribution="Ada")
    whole = record(config)
    assert (whole.num_images, whole.num_people) == (PEOPLE * IMAGES, PEOPLE)
    assert (whole.license, whole.attribution, whole.real_people) == ("CC-BY-4.0", "Ada", True)
    some = record(config, labels=np.array([1, 1, 3]))
    assert (some.num_images, some.num_people) == (3, 2)


def test_a_release_of_a_release_inherits_its_effective_licence(sealed):
    found = record(sealed("CC-BY-NC-4.0", "CC-BY-4.0", stated="CC-BY-NC-4.0"))
    assert (found.license, found.real_people) == ("CC-BY-NC-4.0", False)
    assert found.attribution == "by CC-BY-4.0; by CC-BY-NC-4.0"
    assert found.release == "drawn 0.1.0"
    both = record(replace(sealed("CC-BY-NC-4.0"), license="CC-BY-SA-4.0"))
    assert both.license == "CC-BY-NC-4.0 AND CC-BY-SA-4.0"


def test_a_withdrawn_release_is_recorded_where_it_is_read_all_the_same(sealed):
    config = sealed("CC-BY-NC-4.0")
    mark_withdrawn(LocalStore(config.path), Withdrawn("0.1.1", "2026-11-26"))
    with pytest.raises(SourceError, match=r"source\.path: .* was withdrawn on 2026-11-26"):
        record(config)
    anyway = replace(config, allow_withdrawn=True)
    assert record(anyway).license == "CC-BY-NC-4.0 AND other"


def test_a_release_hands_on_a_licence_that_is_narrower_than_its_sources(sealed):
    assert record(sealed("CC0-1.0", stated="research-only")).license == "research-only"
    assert record(sealed("CC-BY-4.0", stated="unknown")).license == "CC-BY-4.0 AND unknown"


@pytest.mark.parametrize("stated", ["other", ""])
def test_a_release_that_grants_nothing_lets_no_licence_be_granted_unless_somebody_does(
    sealed, stated
):
    config = sealed("CC-BY-4.0", stated=stated)
    found = record(config).license
    assert found == "CC-BY-4.0 AND other"
    granting = [one for one in LICENSES if allows(terms_of(found), one)]
    assert sorted(granting) == ["other", "private", "unknown"]
    told = record(replace(config, license="CC0-1.0"))
    assert told.license == "CC-BY-4.0"
    assert record(replace(config, license="CC-BY-NC-4.0")).license == "CC-BY-NC-4.0"


def test_a_lineage_that_was_not_sealed_is_refused(sealed):
    config = sealed("CC-BY-NC-4.0")
    LocalStore(config.path).put(FILE, Lineage((), ()).to_json())
    with pytest.raises(IntegrityError, match=FILE):
        record(config)


def test_a_release_of_an_older_factory_has_an_unknown_licence(tmp_path):
    store = LocalStore(tmp_path / "old")
    write_release(store, [2], 3)
    config = SourceConfig(kind="webdataset", path=str(store.root), image_px=16)
    require_license(config)
    assert record(config).license == "unknown"
    assert record(replace(config, license="MIT")).license == "MIT"


def test_the_licence_of_the_starter_pack_is_its_own():
    config = SourceConfig()
    require_license(config)
    starter = record(config)
    assert (starter.license, starter.attribution) == ("Apache-2.0", STARTER_CREDIT)
    assert not starter.real_people


def test_the_licence_of_images_is_asked_for_in_one_line(people, tmp_path, sealed):
    config = SourceConfig(kind="folder", path=str(people))
    with pytest.raises(
        ConfigError, match=r"^batches\.mix\[0\]\.source\.license: nothing .*CC-BY-4"
    ):
        require_license(config, "batches.mix[0].source")
    with pytest.raises(ConfigError, match=r"^source\.license: got 'mine'; want one of"):
        require_license(replace(config, license="mine"))
    for known in ("unknown", "CC0-1.0", "cc-by-4.0"):
        require_license(replace(config, license=known))
    require_license(sealed("CC0-1.0"))
    require_license(replace(config, path=str(tmp_path / "not_there")))  # its reader says that


def test_a_lineage_of_the_first_form_is_read():
    body = json.loads(Lineage((), ()).to_json())
    del body["license"]
    assert Lineage.from_json(json.dumps(body).encode()) == Lineage((), ())


@pytest.mark.parametrize("way", ["source", "inquiry", "network", "ancestor", "untold", "none"])
def test_a_release_hands_on_that_it_descends_from_real_people(tmp_path, way):
    store = LocalStore(tmp_path / "drawn")
    write_release(store, [2], 3)
    virtual = SourceRecord("starter", "v", 5, 2, False)
    real = SourceRecord("folder", "f", 5, 2, True)
    handed = replace(virtual, release="earlier 0.1.0", descends_from_real=True)
    planned = {
        "source": (real,),
        "inquiry": (virtual, replace(real, role="inquiry")),
        "ancestor": (handed,),
    }.get(way, (virtual, replace(real, role="gallery")))
    generator = NetworkRecord(
        "generator", "a", (real if way == "network" else virtual,), is_told=way != "untold"
    )
    detector = NetworkRecord("detector", "b", is_told=False)
    store.put(FILE, Lineage(planned, (generator, detector)).to_json())
    seal_again(store)
    config = SourceConfig(kind="webdataset", path=str(store.root), image_px=16)
    found = record(config)
    assert not found.real_people
    assert found.descends_from_real == (way != "none")
    stated = record(replace(config, real_people=False))
    assert stated.descends_from_real == (way != "none")
    assert not source_record(SourceConfig(), open_source(SourceConfig())).descends_from_real
