"""What checkpoints tell of themselves and of their ancestors."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from factory import checkpoint
from factory.config import AutoencoderConfig, CheckpointConfig, Config, RecognizerConfig
from factory.errors import ConfigError
from factory.provenance.carriers import Network, Sources, carriers
from factory.provenance.effective import effective
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord, networks_from_list
from factory.provenance.merging import each_once
from factory.provenance.networks import (
    ancestors,
    of_somebody_else,
    provenance,
    records_of,
    require_weights_license,
)

FACES = SourceRecord("folder", "f", 7, 3, True, "CC-BY-4.0", "Ada")


def put(folder, kind, lineage, records=()):
    content = checkpoint.Checkpoint(
        kind,
        {"w": torch.full((2, 2), float(len(kind)) + 0.001)},
        {},
        0,
        {},
        lineage,
        "",
        list(records),
    )
    return checkpoint.save(folder, content)


@pytest.fixture
def chain(tmp_path):
    """A config with a recognizer, and an autoencoder that was trained with it; their digests."""
    config = Config(recognizer=RecognizerConfig(checkpoint=str(tmp_path / "r")))
    own = provenance(config, "recognizer", [FACES], {})
    recognizer = put(tmp_path / "r", "recognizer", {}, own)
    lineage = {"recognizer": recognizer}
    records = provenance(config, "autoencoder", [FACES], lineage)
    (tmp_path / "a").mkdir()
    autoencoder = put(tmp_path / "a", "autoencoder", lineage, records)
    section = AutoencoderConfig(checkpoint=str(tmp_path / "a"))
    return replace(config, autoencoder=section), recognizer, autoencoder


def test_a_checkpoint_tells_itself_first_and_then_its_ancestors(chain, tmp_path):
    _, recognizer, _ = chain
    own, parent = records_of(checkpoint.any_metadata(str(tmp_path / "a")))
    assert (own.role, own.learned_from) == ("autoencoder", (FACES,))
    assert own.trained_with == {"recognizer": recognizer}
    assert (parent.role, parent.sha256, parent.is_told) == ("recognizer", recognizer, True)


def test_ancestors_are_found_once_and_by_their_digests(chain):
    config, recognizer, autoencoder = chain
    found = ancestors(config, {"recognizer": recognizer, "autoencoder": autoencoder})
    assert [one.role for one in found] == ["recognizer", "autoencoder"]
    other = ancestors(config, {"recognizer": "0" * 64})
    assert other == [NetworkRecord("recognizer", "0" * 64, is_told=False)]


def test_a_record_that_tells_takes_the_place_of_one_that_does_not(chain, tmp_path):
    config, recognizer, _ = chain
    older = put(tmp_path / "old", "autoencoder", {"recognizer": recognizer})
    config = replace(config, autoencoder=AutoencoderConfig(checkpoint=str(tmp_path / "old")))
    digests = {"autoencoder": older, "recognizer": recognizer}
    for order in (digests, dict(reversed(digests.items()))):
        told = {one.role: one.is_told for one in ancestors(config, order)}
        assert told == {"autoencoder": False, "recognizer": True}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"kind": 1}', "null"])
def test_a_folder_that_is_no_checkpoint_tells_nothing(tmp_path, content):
    (tmp_path / "checkpoint.json").write_text(content)
    assert checkpoint.any_metadata(str(tmp_path)) is None
    config = Config(recognizer=RecognizerConfig(checkpoint=str(tmp_path)))
    assert ancestors(config, {"recognizer": "1" * 64})[0].is_told is False


def test_names_that_are_no_folders_tell_nothing():
    for name in ("dlib", "buffalo_l", "/none", "starter:none", "/dev/null", "model.onnx"):
        assert checkpoint.any_metadata(name) is None, name


def test_provenance_of_a_newer_factory_is_read_as_untold(tmp_path):
    sha256 = put(tmp_path, "generator", {"recognizer": "2" * 64}, [{"sha256": "", "form": 9}])
    own, parent = records_of(checkpoint.any_metadata(str(tmp_path)))
    assert (own.sha256, own.is_told, parent.sha256) == (sha256, False, "2" * 64)


def test_packed_weights_have_their_new_digests_in_provenance(chain, tmp_path):
    config, recognizer, autoencoder = chain
    names = {"recognizer": config.recognizer.checkpoint, "autoencoder": str(tmp_path / "a")}
    checkpoint.pack(names, tmp_path / "packed")
    packed = {
        role: json.loads((tmp_path / "packed" / role / "checkpoint.json").read_text())
        for role in names
    }
    own, parent = networks_from_list(packed["autoencoder"]["provenance"])
    assert own.sha256 == packed["autoencoder"]["sha256"] != autoencoder
    assert parent.sha256 == packed["recognizer"]["sha256"] != recognizer
    assert own.trained_with == {"recognizer": parent.sha256}
    assert own.learned_from == (FACES,)


def test_weights_of_somebody_else_have_the_licence_that_is_told():
    told = of_somebody_else("base", "3" * 64, CheckpointConfig(license="openrail", attribution="X"))
    whole = effective(Lineage((), (told,)))
    assert (whole.license, whole.attributions) == ("openrail", ("X",))
    require_weights_license(CheckpointConfig(license="unknown"), "base_model.path=x")
    assert of_somebody_else("base", "3" * 64, CheckpointConfig()).license == "unknown"
    with pytest.raises(
        ConfigError, match=r"^checkpoint\.license: nothing given for base_model.path=x"
    ):
        require_weights_license(CheckpointConfig(), "base_model.path=x")


@pytest.mark.parametrize("name", ["recognizer", "judge", "autoencoder", "generator"])
def test_the_starter_states_its_own_chain_and_licence(name):
    metadata = checkpoint.any_metadata(f"starter:{name}")
    weights = checkpoint.folder(f"starter:{name}") / checkpoint.WEIGHTS
    assert checkpoint.file_sha256(weights) == metadata["sha256"]
    own, *parents = records_of(metadata)
    assert own.sha256 == metadata["sha256"]
    assert own.trained_with == metadata["lineage"]
    assert {one.sha256 for one in parents} >= set(metadata["lineage"].values())
    (faces,) = own.learned_from
    assert (faces.num_images, faces.num_people) == (8000, 1000)
    assert faces.release == "starter_people 1.0.0"
    first_starter = {(6480, 540)}
    for network in (own, *parents):
        (faces,) = network.learned_from
        assert not faces.real_people
        assert (faces.num_images, faces.num_people) in {(8000, 1000)} | first_starter
    whole = effective(Lineage((), (own, *parents)))
    assert (whole.license, whole.plain) == ("Apache-2.0 AND MIT", "permissive")
    assert "ICT-FaceKit" in whole.attributions[0]


TOLD = NetworkRecord("base", "a" * 64, (FACES,))
STATED = NetworkRecord("base", "a" * 64, license="openrail", is_told=False)
UNTOLD = NetworkRecord("base", "a" * 64, is_told=False)


def test_of_several_records_of_a_network_the_one_that_tells_most_counts():
    unknown, other = replace(STATED, license="unknown"), replace(UNTOLD, sha256="b" * 64)
    for order in permutations([UNTOLD, STATED, unknown, TOLD]):
        assert each_once([*order, other]) == [TOLD, other]
        without = [one for one in order if one is not TOLD]
        assert each_once([other, *without]) == [other, STATED]
        here = [Network(one, "here") for one in order]
        assert [one.record for one in carriers(here, Sources({"f": None}), [])] == [TOLD]


def test_two_licences_of_one_network_both_hold():
    narrow = replace(STATED, license="research-only")
    for order in ([STATED, narrow], [narrow, STATED]):
        (found,) = each_once(order)
        assert found.license == "openrail AND research-only"
