"""filters.min_fiqa: what a network of quality says of every face, and which are rejected by it."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import CheckpointError, ConfigError, IntegrityError
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.shards import layout
from factory.shots.plan import first_round_shots
from factory.shots.request import PlanRequest
from factory.store import LocalStore, open_store
from factory.store.parquet import read_table
from factory.synthesis.loading import load_release
from factory.synthesis.maker import ShardMaker
from tests.conftest import PX
from tests.networks_of_quality import write_quality


@pytest.fixture
def asked(release_config, tmp_path):
    """Function of further settings -> a config whose faces are rejected by a network."""
    model = write_quality(tmp_path / "q.onnx", px=PX)

    def config(*settings):
        return release_config(f"quality.model={model}", "filters.min_fiqa=-2", *settings)

    return config


def planned(config):
    store = open_store(config.store).below(layout.release_prefix("tiny", "0.1.0"))
    return write_plan(config, preflight(config), store), store


def test_every_face_has_its_score_and_those_below_are_rejected(asked, tmp_path):
    """The network tells the mean of red: the images of a first round are drawn and asked again."""
    plan, store = planned(asked("plan.max_rounds=1"))
    release = load_release(asked("plan.max_rounds=1"), store)
    shots = first_round_shots(plan.request, plan.units[0], release.roster)
    expected = {s.key: release.draw(s)[..., 0].mean() / 127.5 - 1 for s in shots}
    limit = float(np.mean(list(expected.values())))
    strict = asked("plan.max_rounds=1", f"filters.min_fiqa={limit}", "release.version=0.2.0")
    store = open_store(strict.store).below(layout.release_prefix("tiny", "0.2.0"))
    write_plan(strict, preflight(strict), store)
    made = LocalStore(tmp_path / "made")
    maker = ShardMaker.at(load_release(strict, store), made, 1 << 20)
    maker.make(0)
    maker.flush()
    maker.close()
    kept = read_table(made.get(layout.metadata_name(0))).to_pylist()
    rejected = read_table(made.get(layout.rejects_name(0))).to_pylist()
    assert kept
    assert {row["reason"] for row in rejected} == {"low_fiqa"}
    for row in [*kept, *rejected]:
        assert row["fiqa"] == pytest.approx(expected[row["key"]], abs=1e-4)
    assert all(row["fiqa"] >= limit for row in kept)
    assert all(row["fiqa"] < limit for row in rejected)


def test_a_plan_holds_the_network_and_refuses_another(asked, tmp_path):
    plan, store = planned(asked())
    assert plan.request.fiqa is not None
    assert PlanRequest.from_dict(plan.request.to_dict()) == plan.request
    assert "q.onnx" not in str(plan.request.to_dict())
    with pytest.raises(IntegrityError, match=r"^quality\.model: .* channels=bgr, pixels=signed"):
        load_release(asked("quality.channels=bgr"), store)
    other = write_quality(tmp_path / "other.onnx", batch=1, px=PX)
    with pytest.raises(IntegrityError, match=r"^quality\.model: .*other\.onnx with"):
        load_release(asked(f"quality.model={other}"), store)


def test_a_plan_without_it_is_that_of_an_older_factory(release_config):
    request = preflight(release_config()).request
    assert "fiqa" not in request.to_dict()
    assert "min_fiqa" not in request.to_dict()["filters"]
    assert PlanRequest.from_dict(request.to_dict()) == request


def test_what_cannot_be_asked_is_refused_before_anything_starts(asked, release_config, tmp_path):
    with pytest.raises(ConfigError, match=r"^filters\.min_fiqa: got 0\.5 without quality\.model"):
        preflight(release_config("filters.min_fiqa=.5"))
    two = asked(f"quality.model={write_quality(tmp_path / 'two.onnx', outputs=2)}")
    with pytest.raises(CheckpointError, match=r"^quality\.model: .* want one output"):
        preflight(two)
    rendered = ["release.method=render", "identities.proposal=rendered", "source.kind=starter"]
    rendered += ["source.path=null", "filters.min_own_cosine=null"]
    with pytest.raises(ConfigError, match=r"^filters\.min_fiqa: got 0\.5 with .*method=render"):
        release_config("filters.min_fiqa=.5", *rendered)
