"""filters.spare_real_people from plan to audit: what is refused, recorded, private, and said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from factory.config import load
from factory.errors import ConfigError, IntegrityError, LeakError, PlanError
from factory.evaluation.evaluate import evaluate
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.release import AuditVerdict
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.verdict import CHOSE, verdict
from factory.execution.inline import run_units
from factory.planning.preflight import preflight
from factory.planning.sparing import check_sparing
from factory.quality.filters import NEAR_REAL_PERSON
from factory.recognition.external import open_embedder
from factory.release import build
from factory.shards import layout, manifest
from factory.shards.plan_files import open_plan
from factory.shards.reader import iterate_kept
from factory.shards.verify import verify
from factory.shots.plan import Plan
from factory.sources import open_source
from factory.sources.decoding import decode_image
from factory.synthesis.near_real import NearReal
from tests.byte_scan import ByteScan
from tests.conftest import NAMES, draw_people, save_networks, save_recognizer, tiny_dotlist

DIM = 128
"""Large enough that other vectors and bytes are not near to anybody by chance."""
SPARED = [
    "filters.spare_real_people=true",
    "audit.leak_fpir=0.5",
    "plan.min_images=2",
    "plan.on_shortfall=replace",
    "plan.reserve_fraction=2",
]


PLANTED = ("000000_0001", "000001_0000")
"""Faces that a release without the filter keeps, which are photographs in its source."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Networks, and photographs of drawn people and of one whose faces will be drawn again."""
    root = tmp_path_factory.mktemp("spared")
    (root / "people").mkdir()
    draw_people(root / "people", NAMES)
    save_networks(root / "weights", dim=DIM)
    (root / "any.yaml").write_text("{}\n")
    tiny = tiny_dotlist(root / "people", root / "weights", root / "store")
    config = load(root / "any.yaml", [*tiny, "identities.max_cosine=1", "release.dataset=first"])
    store, _ = made(config)
    (root / "people" / "planted").mkdir()
    for row, data in iterate_kept(store, open_plan(store)[0]):
        if row["key"] in PLANTED:
            image = Image.fromarray(decode_image(data, row["key"], 1 << 20))
            image.save(root / "people" / "planted" / f"{row['key']}.png")
    return root


@pytest.fixture(scope="module")
def config_of(root):
    tiny = tiny_dotlist(root / "people", root / "weights", root / "store")
    return lambda *dotlist: load(root / "any.yaml", [*tiny, "identities.max_cosine=1", *dotlist])


class PrivateWhileMade:
    """A runner that notes what lies in private/ while units are made, and stops when told to."""

    def __init__(self, store, stop_after=None, delete=False):
        self.store, self.stop_after, self.delete = store, stop_after, delete
        self.names = set()

    def __call__(self, fleet, open_maker, units, *rest):
        private = layout.private_store(self.store)
        self.names |= set(private.list(""))
        if self.stop_after is None:
            return run_units(fleet, open_maker, units, *rest)
        run_units(fleet, open_maker, units[: self.stop_after], *rest)
        if self.delete:
            private.delete(layout.SPARED_PEOPLE)
        raise InterruptedError("as if killed")


def made(config, log=lambda line: None, **runner):
    store = layout.release_store(config)
    noted = PrivateWhileMade(store, **runner)
    try:
        build(config, noted, log=log)
    except InterruptedError:
        assert runner
    return store, noted


@pytest.fixture(scope="module")
def released(config_of):
    """(config, store, what was private meanwhile, log) of a release of which some were rejected."""
    config, lines = config_of(*SPARED, "release.dataset=spared"), list[str]()
    return config, *made(config, lines.append), lines


def sums(store) -> dict[str, str]:
    """Digests of the faces, and of what was rejected."""
    names = [n for n in store.list("") if n.startswith(("data/", "metadata/", "rejects/"))]
    return {name: store.sha256(name) for name in names}


def test_the_audit_finds_nobody_whom_makers_rejected_by_its_limits(released):
    _, store, _, lines = released
    leakage = json.loads(store.get(layout.metrics_name("leakage")))
    counts = manifest.collect(store, open_plan(store)[0]).counts
    rejects = pq.read_table(store.path(layout.rejects_name(0))).to_pylist()
    assert [row["key"] for row in rejects if row["reason"] == NEAR_REAL_PERSON] == list(PLANTED)
    assert counts.reasons == {NEAR_REAL_PERSON: len(PLANTED)}
    assert leakage["faces"]["count"] == counts.kept > 0
    assert leakage["faces"]["num_leaks"] == leakage["classes"]["num_leaks"] == 0
    spared = open_plan(store)[0].request.spared
    assert spared.face_cosine == leakage["faces"]["limit_cosine"]
    assert spared.center_cosine == leakage["classes"]["limit_cosine"]
    assert verify(store) == []
    assert any(CHOSE in line for line in lines)


def test_the_same_release_without_it_has_leaks_and_nothing_new_in_its_plan(config_of):
    config = config_of("release.dataset=plain", "audit.leak_fpir=0.5")
    store, noted = made(config)
    leakage = json.loads(store.get(layout.metrics_name("leakage")))
    assert set(PLANTED) <= set(leakage["faces"]["leaks"])
    request = json.loads(store.get(layout.PLAN))["request"]
    assert "spared" not in request
    assert "spare_real_people" not in request["filters"]
    assert "judge_chose" not in json.loads(store.get(layout.metrics_name("audit")))
    assert noted.names == set()
    assert "also chose" not in store.get(layout.CARD).decode()


def test_a_plan_records_setting_limits_and_judge_and_reads_them_again(released):
    config, store, _, _ = released
    plan = open_plan(store)[0]
    judge = open_embedder(config.judge.checkpoint, "cpu", "judge.checkpoint")
    assert plan.request.filters.spare_real_people
    assert plan.request.spared.judge_sha256 == judge.sha256
    assert plan.request.spared.leak_fpir == 0.5
    assert Plan.from_json(plan.to_json()) == plan


def test_no_vector_of_a_real_person_is_in_a_release_and_nothing_private_is_left(released):
    config, store, noted, _ = released
    assert noted.names == {layout.SPARED_PEOPLE}
    assert layout.private_store(store).list("") == []
    judge = open_embedder(config.judge.checkpoint, "cpu", "judge.checkpoint")
    source = open_source(config.source)
    images = np.stack([source[index].image_HWC for index in range(len(source))])
    scan = ByteScan([], judge.embed(images), min_cosine=0.99)
    assert scan.folder(store.root) == []
    planted = judge.embed(images[:1]).astype("<f4").tobytes()
    assert scan.data("planted", b"before" + planted)


def test_card_and_report_say_that_the_judge_chose(released):
    _, store, _, _ = released
    said = from_json(AuditVerdict, json.loads(store.get(layout.metrics_name("audit"))))
    assert said.judge_chose
    card, page = (store.get(name).decode() for name in (layout.CARD, layout.REPORT))
    assert "not an independent one since it also chose which faces stay" in card
    assert "An independent recognizer" not in card
    assert "also chose which faces stay, by the limits of this audit" in page


def test_another_judge_that_looks_did_not_choose(released, config_of, root):
    config, store, _, _ = released
    spared = open_plan(store)[0].request.spared
    other = config_of(*SPARED, f"judge.checkpoint={third_judge(root)}")
    none = preflight(config_of("audit.leak_fpir=0.5", "release.dataset=any")).request.spared
    found = [
        verdict(one, NotMeasured("n/a: any"), None, by).judge_chose
        for one, by in ((config, spared), (other, spared), (config, none))
    ]
    assert found == [True, False, False]


def third_judge(root):
    folder = root / "third"
    if not folder.exists():
        save_recognizer(folder, seed=7, dim=DIM, names=NAMES)
    return folder


@pytest.mark.parametrize("delete", [False, True], ids=["resumed", "resumed without its file"])
def test_a_resumed_release_has_the_same_bytes(released, config_of, delete):
    dataset = f"resumed{int(delete)}"
    config = config_of(*SPARED, f"release.dataset={dataset}")
    store, _ = made(config, stop_after=1, delete=delete)
    assert not store.exists(layout.SUMS)
    assert bool(layout.private_store(store).list("")) is not delete
    made(config)
    assert sums(store) == sums(released[1])
    assert layout.private_store(store).list("") == []


def test_another_judge_or_fraction_is_another_plan(released, config_of, root):
    dataset = "release.dataset=spared"
    judge = f"judge.checkpoint={third_judge(root)}"
    for change, key in ((judge, "spared.judge_sha256"), ("audit.leak_fpir=0.4", "spared.leak_f")):
        with pytest.raises(PlanError, match=f"another plan .{key}"):
            made(config_of(*SPARED, dataset, change))
    with pytest.raises(PlanError, match=r"another plan .filters\.spare_real_people"):
        made(config_of(*SPARED[1:], dataset))
    log: list[str] = []
    made(config_of(*SPARED, dataset), log.append)
    assert "is sealed already" in log[0]


@pytest.mark.parametrize(
    ("settings", "error", "line"),
    [
        (["judge.checkpoint=null"], ConfigError, r"real_people: got true with judge\.checkpoint="),
        (["source.real_people=false"], ConfigError, "got true and nobody real is in the source"),
        (["judge.checkpoint={recognizer}"], ConfigError, "the recognizer that conditions"),
        (["judge.checkpoint={copy}"], ValueError, "the weights of the recognizer that conditions"),
        (
            ["plan.fill_to=9", "plan.on_shortfall=drop", "release.allow_real=true"],
            ConfigError,
            r"got true with plan\.fill_to",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(config_of, root, settings, error, line):
    copy = root / "copy"
    if not copy.exists():
        shutil.copytree(root / "weights" / "recognizer", copy)
    named = {"recognizer": root / "weights" / "recognizer", "copy": copy}
    with pytest.raises(error, match=line) as caught:
        preflight(
            config_of(*SPARED, "release.dataset=no", *(s.format_map(named) for s in settings))
        )
    assert "\n" not in str(caught.value)


def test_one_person_is_refused_and_off_asks_for_nothing(config_of, root):
    alone = root / "alone"
    if not alone.exists():
        alone.mkdir()
        shutil.copytree(root / "people" / NAMES[0], alone / NAMES[0])
    with pytest.raises(LeakError, match="at least two people"):
        preflight(config_of(*SPARED, "release.dataset=one", f"source.path={alone}"))
    check_sparing(config_of("judge.checkpoint=null", "source.real_people=false"))


def test_rejected_faces_of_somebody_real_are_not_shown(released):
    config, store, _, _ = released
    plan, source = open_plan(store)[0], open_source(config.source)
    sealed = manifest.sealed_manifest(store, plan)
    for show in (False, True):
        shown = replace(config, audit=replace(config.audit, show_real=show))
        pictures = evaluate(shown, source, store, plan, sealed, run_units, lambda line: None)[1]
        assert (NEAR_REAL_PERSON in pictures.rejects) is show


def test_makers_refuse_another_judge_than_the_planned_one(released, config_of, root):
    _, store, _, _ = released
    plan, cpu = open_plan(store)[0], torch.device("cpu")
    for judge, got in ((third_judge(root), "has sha256"), ("null", "got null")):
        other = config_of(*SPARED, f"judge.checkpoint={judge}")
        with pytest.raises(IntegrityError, match=rf"judge\.checkpoint: {got}.* planned with"):
            NearReal.open(other, store, plan, cpu)
    plain = replace(plan, request=replace(plan.request, spared=None))
    assert NearReal.open(config_of(), store, plain, cpu) is None
