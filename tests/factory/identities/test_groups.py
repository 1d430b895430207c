"""Groups are learned from labels, and a roster has the fractions that its quotas want."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from factory.config import IdentitiesConfig
from factory.errors import ConfigError, PlanError
from factory.execution.inline import run_units
from factory.identities import groups as groups_module
from factory.identities.gate import admit
from factory.identities.groups import Groups, read_labels
from factory.identities.proposals import PcaProposal, Pool
from factory.release import build
from factory.shards import layout
from factory.shards.plan_files import open_plan
from factory.sources import open_source
from factory.store import LocalStore
from tests.vectors import unit_rows


def two_sides(seed: int, count: int) -> tuple[np.ndarray, list[str]]:
    """Unit vectors and the side of the first axis they are on."""
    unit = unit_rows(seed, count, 8)
    return unit, ["right" if row[0] > 0 else "left" for row in unit]


def test_a_linear_rule_is_learned_and_measured():
    groups = Groups(*two_sides(0, 400), {"left": 0.5, "right": 0.5})
    others, sides = two_sides(1, 200)
    predicted = [groups.names[number] for number in groups.predict(others)]
    right = np.mean([a == b for a, b in zip(predicted, sides, strict=True)])
    assert right > 0.9
    assert groups.accuracy == pytest.approx(right, abs=0.06)
    alone = [groups.predict(row[None])[0] for row in others]
    assert np.array_equal(groups.predict(others), alone)


def test_accuracy_without_a_rule_is_that_of_guessing():
    unit = unit_rows(0, 400, 8)
    labels = np.random.default_rng(1).choice(["a", "b"], 400).tolist()
    assert Groups(unit, labels, {}).accuracy == pytest.approx(0.5, abs=0.1)


def plain_groups(unit_ND: np.ndarray, group_N: np.ndarray, query_MD: np.ndarray) -> np.ndarray:
    """Ridge regression of one-hot labels by least squares on rows that stand for the ridge."""
    dim = unit_ND.shape[1]
    mean = unit_ND.mean(0)
    centered = unit_ND - mean
    damping = np.sqrt(0.01 * np.square(centered).sum() / dim) * np.eye(dim)
    one_hot = np.eye(group_N.max() + 1)[group_N]
    target = np.concatenate([one_hot - one_hot.mean(0), np.zeros((dim, one_hot.shape[1]))])
    weights = np.linalg.lstsq(np.concatenate([centered, damping]), target, rcond=None)[0]
    return ((query_MD - mean) @ weights + one_hot.mean(0)).argmax(1)


def test_groups_are_those_of_a_plain_ridge_regression_and_so_is_their_accuracy():
    """40 people of three unequal groups, for whom ridge, prior and leaving out all matter."""
    rng = np.random.default_rng(4)
    unit_ND = unit_rows(6, 40, 16).astype(np.float64)
    group_N = rng.choice(3, 40, p=[0.6, 0.25, 0.15])
    group_N[:3] = 0, 1, 2
    groups = Groups(unit_ND, [str(group) for group in group_N], {})
    query_MD = 0.3 * unit_rows(7, 500, 16).astype(np.float64)
    wanted = plain_groups(unit_ND, group_N, query_MD)
    assert len(set(wanted)) == 3
    assert np.array_equal(groups.predict(query_MD), wanted)
    right = 0
    for fold in range(5):
        out = np.arange(40) % 5 == fold
        guessed = plain_groups(unit_ND[~out], group_N[~out], unit_ND[out])
        right += (guessed == group_N[out]).sum()
    assert groups.accuracy == right / 40


def test_a_classifier_gets_pixels_from_minus_one_to_one(release_config, monkeypatch, tmp_path):
    seen = []

    class Session:
        def get_inputs(self):
            return [type("Entry", (), {"name": "x", "shape": [1, 3, 32, 32]})]

        def run(self, _, inputs):
            seen.append(inputs["x"])
            return [np.array([[0.0, 1.0]])]

    monkeypatch.setattr(groups_module, "open_classifier", lambda path: Session())
    (tmp_path / "any.onnx").write_bytes(b"")
    source = open_source(release_config().source)
    read_labels(IdentitiesConfig(attributes=str(tmp_path / "any.onnx")), source)
    assert len(seen) == len(source)
    image = source[0].image_HWC.astype(np.float64).transpose(2, 0, 1)
    np.testing.assert_allclose(seen[0][0], image / 127.5 - 1, atol=1e-6)


def test_every_beginning_of_a_roster_has_the_shares():
    groups = Groups(*two_sides(0, 50), {"left": 0.25, "right": 0.75})
    for count in (1, 4, 10, 99):
        assert groups.counts(count).sum() == count
        assert np.abs(groups.counts(count) - count * np.array([0.25, 0.75])).max() <= 1
    assert np.array_equal(groups.wanted(np.array([5, 3])), groups.wanted(np.arange(6))[[5, 3]])


@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("pool", [False, True])
def test_the_gate_fills_the_quotas(pool, block):
    unit, labels = two_sides(0, 100)
    groups = Groups(unit, labels, {"left": 0.8, "right": 0.2})
    proposal = Pool("prototypes", unit_rows(5, 300, 8)) if pool else PcaProposal(unit, 7, seed=1)
    limits = {"num_identities": 30, "max_cosine": 0.9, "max_attempts": 500}
    real = unit_rows(2, 3, 8)
    got = admit(proposal, real, **limits, groups=groups, block=block)
    whole = admit(proposal, real, **limits, groups=groups)
    assert np.array_equal(got.unit_ND, whole.unit_ND)
    assert Counter(groups.predict(got.unit_ND).tolist()) == {0: 24, 1: 6}
    assert (got.unit_ND @ got.unit_ND.T - 2 * np.eye(30)).max() < 0.9


def labeled(tmp_path, people, **columns) -> str:
    names = [f"person_{i}" for i in range(4)]
    lines = [",".join(["name", *columns])]
    lines += [",".join([name, *(c[i] for c in columns.values())]) for i, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "labels.csv")


def test_labels_of_the_source_are_read(release_config, people, tmp_path):
    file = labeled(tmp_path, people, skin=["a", "b", "", "b"])
    source = open_source(release_config().source)
    labeling = IdentitiesConfig(attributes=file, attribute="skin")
    assert read_labels(labeling, source) == {"person_0": "a", "person_1": "b", "person_3": "b"}
    with pytest.raises(PlanError, match=r"identities\.attribute: .* no column 'group'.*skin"):
        read_labels(IdentitiesConfig(attributes=file), source)
    with pytest.raises(PlanError, match=r"identities\.attributes: no such file"):
        read_labels(IdentitiesConfig(attributes="nowhere.csv"), source)
    one = labeled(tmp_path, people, skin=["a", "a", "a", "a"])
    with pytest.raises(PlanError, match="fewer than two groups"):
        read_labels(IdentitiesConfig(attributes=one, attribute="skin"), source)


def test_a_column_of_names_is_no_column_of_groups_as_pseudonyms_would_be_in_vain(
    release_config, people, tmp_path
):
    file = labeled(tmp_path, people, nick=["a", "b", "person_0", "b"])
    with pytest.raises(PlanError, match=r"identities\.attribute: 'nick' of .* has people's names"):
        read_labels(
            IdentitiesConfig(attributes=file, attribute="nick"),
            open_source(release_config().source),
        )


def test_an_onnx_classifier_tells_groups(release_config, tmp_path):
    """A network that answers with the mean of each color: people's groups are their colors."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    shapes = [("x", [1, 3, 16, 16]), ("y", [1, 3, 1, 1])]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes)
    model = helper.make_model(
        helper.make_graph([node], "color", [x], [y]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "color.onnx")
    source = open_source(release_config().source)
    labels = read_labels(IdentitiesConfig(attributes=str(tmp_path / "color.onnx")), source)
    for label, name in enumerate(source.names):
        brightest = source[int(np.flatnonzero(source.labels == label)[0])].image_HWC.mean((0, 1))
        assert labels[name] == str(brightest.argmax())


def test_a_release_is_balanced_and_says_so(release_config, people, tmp_path):
    file = labeled(tmp_path, people, skin=["a", "a", "b", "b"])
    config = release_config(
        f"identities.attributes={file}",
        "identities.attribute=skin",
        "identities.quotas={a: 0.5, b: 0.5}",
        "identities.proposal=pca",
        "identities.max_cosine=.999",
    )
    build(config, run_units, log=lambda line: None)
    store = LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))
    roster = open_plan(store)[1]
    assert Counter(person.group for person in roster.identities) == {"a": 3, "b": 3}
    assert "Balance of groups" in store.get(layout.REPORT).decode()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["identities.quotas={a: 1.0}"], ConfigError, r"identities\.attributes: nothing given"),
        (
            ["identities.quotas={a: .5}", "identities.attributes=x.csv"],
            ConfigError,
            r"identities\.quotas: got fractions that add up to 0\.5",
        ),
    ],
)
def test_quotas_that_cannot_be_are_refused(release_config, settings, error, message):
    with pytest.raises(error, match=message):
        release_config(*settings)


def test_a_quota_for_nobody_is_refused():
    with pytest.raises(PlanError, match=r"identities\.quotas\.up: nobody .* left, right"):
        Groups(*two_sides(0, 50), {"up": 1.0})
