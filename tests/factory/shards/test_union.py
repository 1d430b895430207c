"""A union refers to the shards of its versions: same samples, same labels, nothing copied."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from factory.config import ShardsConfig
from factory.errors import IntegrityError, PlanError
from factory.provenance.effective import effective, refuse_wider
from factory.provenance.lineage import Lineage, NetworkRecord, SourceRecord
from factory.provenance.withdrawn import WITHDRAWN
from factory.report.croissant import _distribution
from factory.shards import garbage, layout, manifest
from factory.shards.compact import Cut, compact
from factory.shards.derived import joined_lineage, open_member
from factory.shards.export import export
from factory.shards.plan_files import earlier_plans, numbers_after, open_plan
from factory.shards.reader import local_copy, open_sealed
from factory.shards.status import StatusReader
from factory.shards.union import chain_of, check, write_union
from factory.shards.vectors import read_vectors
from factory.shards.verify import verify
from factory.shots.plan import Plan
from factory.shots.request import SparedPeople
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore, open_store
from jobs.union import JOB as union_job
from tests.grown import begin, make_release, make_units, never, often, plan_of, publish
from tests.withdrawals import NAMES, NUM_VIRTUAL, write_version

FIRST, SECOND, THIRD, UNION = "0.1.0", "0.2.0", "0.3.0", "1.0.0"
REPLACED, RESERVE = 8, 10
"""Somebody of the second version, and who was drawn in its place."""


def release(dataset, version):
    return dataset.below(layout.release_path(version))


def make_chain(dataset, *, keep_vectors=False):
    """Three versions, each extending the one before, of people some of whom fail.

    Somebody of the second one is replaced by a reserve.
    """
    one = make_release(dataset, 7, often, version=FIRST, keep_vectors=keep_vectors)
    two = make_release(
        dataset,
        4,
        lambda identity, image, attempt: identity == REPLACED,
        version=SECOND,
        first=one.next_identity,
        first_unit=one.next_unit,
        extends=one,
        keep_vectors=keep_vectors,
        on_shortfall="replace",
        min_images=4,
        reserve_fraction=0.3,
    )
    return make_release(
        dataset,
        3,
        never,
        version=THIRD,
        first=two.next_identity,
        first_unit=two.next_unit,
        extends=two,
        keep_vectors=keep_vectors,
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A dataset of a chain and its union."""
    dataset = LocalStore(tmp_path_factory.mktemp("chain"))
    make_chain(dataset)
    write_union(dataset, chain_of(dataset, THIRD), UNION)
    return dataset


@pytest.fixture
def copied(chain, tmp_path):
    """The same, which a test may spoil."""
    shutil.copytree(chain.root, tmp_path / "chain")
    return LocalStore(tmp_path / "chain")


def samples(dataset, version):
    """(key, label, bytes of the image) of all, in order, as training would have them."""
    stream = ReleaseStream(release(dataset, version), shuffle=False)
    return [(one.key, one.label, one.image_HWC.tobytes()) for one in stream]


def test_union_yields_exactly_what_its_versions_yield(chain):
    assert chain_of(chain, THIRD) == [FIRST, SECOND, THIRD]
    every = [one for version in (FIRST, SECOND, THIRD) for one in samples(chain, version)]
    assert samples(chain, UNION) == every
    assert len({key for key, *_ in every}) == len(every)
    shuffled = ReleaseStream(release(chain, UNION), seed=3)
    assert sorted((s.key, s.label, s.image_HWC.tobytes()) for s in shuffled) == sorted(every)


def test_union_keeps_labels_and_vectors_of_everybody(chain):
    plan, roster = open_plan(release(chain, UNION))
    assert plan.first_identity == 0
    for version in (FIRST, SECOND, THIRD):
        _, own = open_plan(release(chain, version))
        for person in own.identities:
            assert roster.person(person.index) == person
            row, own_row = roster.row(person.index), own.row(person.index)
            assert np.array_equal(roster.unit_ND[row], own.unit_ND[own_row])
    labels = {label for _, label, _ in samples(chain, UNION)}
    assert RESERVE in labels
    assert REPLACED not in labels
    counts = manifest.collect(release(chain, UNION), plan).counts
    parts = [
        manifest.collect(store, open_plan(store)[0]).counts
        for store in (release(chain, version) for version in (FIRST, SECOND, THIRD))
    ]
    assert counts == parts[0].plus(parts[1]).plus(parts[2])


def test_union_keeps_vectors_of_virtual_people_after_real_ones(tmp_path):
    root = LocalStore(tmp_path)
    dataset, plans = root.below("tiny"), list[Plan]()
    for version in (FIRST, SECOND, THIRD):
        plans.append(write_version(root, version=version, after=plans[-1] if plans else None))
    write_union(dataset, [FIRST, SECOND], UNION)
    write_union(dataset, [UNION, THIRD], "1.1.0")
    one, both, all_three = (
        open_plan(release(dataset, version))[1] for version in (FIRST, UNION, "1.1.0")
    )
    real = np.zeros((len(NAMES), 8), np.float32)
    rows = [*one.unit_ND, *real]
    assert len(one.unit_ND) == NUM_VIRTUAL
    assert np.array_equal(both.unit_ND, 2 * rows)
    assert np.array_equal(all_three.unit_ND, 3 * rows)
    every = [one for version in (FIRST, SECOND, THIRD) for one in samples(dataset, version)]
    assert samples(dataset, "1.1.0") == every
    compact(dataset, "1.1.0", "2.0.0", Cut(identities_per_unit=7))
    assert samples(dataset, "2.0.0") == every


def test_union_copies_no_shard_and_lists_where_they_lie(chain):
    store = release(chain, UNION)
    for folder in ("data/", "metadata/", "rejects/", layout.VECTORS):
        assert store.list(folder) == []
    of_versions = sum(e.size for e in release(chain, FIRST).entries("data/"))
    own = sum(e.size for e in store.entries(""))
    assert own < of_versions / 2
    sums = store.get(layout.SUMS).decode()
    assert f"  ../{SECOND}/data/train-000003.tar\n" in sums
    done = subprocess.run(
        ["sha256sum", "-c", layout.SUMS], cwd=store.root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_union_has_an_index_whose_urls_lead_to_the_shards_of_its_versions(chain):
    store = release(chain, UNION)
    shards = json.loads(store.get(layout.WIDS))["shardlist"]
    assert shards[0]["url"] == f"../../{FIRST}/data/train-000000.tar"
    for shard in shards:  # wids joins them with the address of the index
        tar = store.path(layout.WIDS).parent / shard["url"]
        assert tar.stat().st_size == shard["filesize"]


def test_union_is_whole_and_the_latest(chain):
    assert verify(release(chain, UNION)) == []
    assert json.loads(chain.get("latest.json"))["version"] == UNION
    assert manifest.read_plan(release(chain, UNION)).derived.kind == "union"
    rows = dict(StatusReader(release(chain, UNION)).read().rows(0.0, None))
    assert rows["made of"] == f"the union of {FIRST}, {SECOND} and {THIRD}"
    assert rows["sealed"] == "yes"


def test_union_can_be_extended_like_any_version(chain):
    plans = earlier_plans(chain, UNION)
    assert numbers_after(plans) == numbers_after(earlier_plans(chain, THIRD))


def test_union_is_exported_and_copied_with_all_its_images(chain, tmp_path):
    store = release(chain, UNION)
    count = manifest.collect(store, open_plan(store)[0]).counts.kept
    assert export(store, "imagefolder", tmp_path / "out") == count
    folder = local_copy(store, open_plan(store)[0], str(tmp_path / "copy"))
    assert len(list(folder.glob("data/*.tar"))) == len(open_plan(store)[0].units)


def test_union_in_croissant_points_at_its_versions(chain):
    import mlcroissant as mlc

    store = release(chain, UNION)
    plan = open_plan(store)[0]
    context = mlc.Context(conforms_to="http://mlcommons.org/croissant/1.1")
    tars = _distribution(mlc, context, plan, manifest.collect(store, plan))
    assert tars[0].content_url == f"../{FIRST}/data/train-000000.tar"


def test_union_of_a_union_refers_to_where_files_lie(copied):
    last = manifest.read_plan(release(copied, THIRD))
    fourth = make_release(
        copied,
        3,
        version="2.0.0",
        first=last.next_identity,
        first_unit=last.next_unit,
        extends=manifest.read_plan(release(copied, UNION)),
    )
    assert fourth.first_identity == last.next_identity
    write_union(copied, [UNION, "2.0.0"], "2.1.0")
    assert samples(copied, "2.1.0") == samples(copied, UNION) + samples(copied, "2.0.0")
    versions = {
        file.version
        for shard in manifest.collect(
            release(copied, "2.1.0"), manifest.read_plan(release(copied, "2.1.0"))
        ).shards
        for file in shard.files
    }
    assert versions == {FIRST, SECOND, THIRD, "2.0.0"}
    assert verify(release(copied, "2.1.0")) == []


def test_union_of_kept_vectors_refers_to_them(tmp_path):
    dataset = LocalStore(tmp_path)
    make_chain(dataset, keep_vectors=True)
    sealed = write_union(dataset, chain_of(dataset, THIRD), UNION)
    store = open_sealed(release(dataset, UNION))
    manifest.drop_what_makers_needed(release(dataset, UNION))
    for shard in sealed.shards:
        (vectors_KD,) = read_vectors(store, shard).values()
        assert len(vectors_KD) == shard.counts.kept
    assert manifest.sealed_manifest(release(dataset, UNION), open_plan(store)[0]) == sealed
    assert verify(release(dataset, UNION)) == []


def test_union_in_a_flipped_byte_or_a_lost_version_is_seen(copied):
    tar = release(copied, SECOND).path(layout.tar_name(3))
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    tar.write_bytes(data)
    assert verify(release(copied, UNION)) == [
        f"../{SECOND}/data/train-000003.tar does not have its sha256"
    ]
    with pytest.raises(IntegrityError):
        samples(copied, UNION)
    shutil.rmtree(release(copied, SECOND).root)
    (problem,) = verify(release(copied, UNION))
    assert problem.startswith(f"version {SECOND}, which holds ")
    assert "is gone; restore" in problem


def test_union_of_a_withdrawn_version_is_said_and_refused(copied):
    release(copied, FIRST).put(WITHDRAWN, b"{}")
    (problem,) = verify(release(copied, UNION))
    assert problem.startswith(f"version {FIRST}, which holds ")
    assert "was withdrawn" in problem
    with pytest.raises(PlanError, match=r"0\.1\.0: was withdrawn"):
        write_union(copied, [FIRST, SECOND], "3.0.0")


def test_union_over_another_version_than_it_was_made_of_is_seen(copied):
    shutil.copytree(release(copied, FIRST).root, release(copied, "9.9.9").root)
    other = release(copied, FIRST)
    other.put(layout.SUMS, other.get(layout.SUMS) + b"0" * 64 + b"  more\n")
    (problem,) = verify(release(copied, UNION))
    assert problem.endswith("is not the one that the plan names; restore it")


def test_union_goes_on_where_it_was_cut_off_with_the_same_bytes(copied):
    before = release(copied, UNION).get(layout.SUMS)
    shutil.rmtree(release(copied, UNION).root)
    write_union(copied, chain_of(copied, THIRD), UNION)
    for lost in (layout.SUCCESS, layout.SUMS, layout.MANIFEST, layout.commit_name(4)):
        release(copied, UNION).delete(lost)
    write_union(copied, chain_of(copied, THIRD), UNION)
    assert release(copied, UNION).get(layout.SUMS) == before
    with pytest.raises(PlanError, match="another release was begun there"):
        write_union(copied, [SECOND, THIRD], UNION)


def test_union_of_versions_that_do_not_follow_each_other_is_refused(copied):
    for versions in ([FIRST, THIRD], [FIRST, UNION]):
        with pytest.raises(PlanError, match=r"union: 0\.1\.0 has labels 0 to 6 in units 0 to 2, "):
            write_union(copied, versions, "3.0.0")
    with pytest.raises(PlanError, match="want at least two"):
        write_union(copied, [FIRST], "3.0.0")
    with pytest.raises(PlanError, match="is not a sealed release"):
        write_union(copied, [FIRST, "7.0.0"], "3.0.0")


def test_union_of_versions_in_two_recognizers_spaces_is_refused(chain):
    first, second = (open_member(chain, version) for version in (FIRST, SECOND))
    check([first, second])
    others = [
        ({"weights": {"recognizer": "9" * 64}}, "union: weights.recognizer is 1111"),
        ({"shards": ShardsConfig(image_format="png")}, "union: shards.image_format is jpeg in"),
    ]
    for changed, message in others:
        other = replace(second.plan, request=replace(second.plan.request, **changed))
        with pytest.raises(PlanError, match=message):
            check([first, replace(second, plan=other)])


def test_union_is_left_whole_by_gc(copied):
    release(copied, UNION).delete(layout.SUCCESS)
    found = garbage.find(release(copied, UNION), 0.0, 1e12)
    garbage.remove(release(copied, UNION), found)
    release(copied, UNION).put_once(layout.SUCCESS, b"")
    assert verify(release(copied, UNION)) == []


def test_union_of_people_by_pseudonyms_and_by_names_is_refused(tmp_path):
    root = LocalStore(tmp_path)
    first = write_version(root, version=FIRST)
    write_version(root, version=SECOND, after=first)
    one, other = (open_member(root.below("tiny"), version) for version in (FIRST, SECOND))
    check([one, other])
    keyed = replace(other.plan, request=replace(other.plan.request, pseudonyms="keyed"))
    with pytest.raises(
        PlanError, match=r"union: release\.pseudonyms is names in 0\.1\.0, keyed in"
    ):
        check([one, replace(other, plan=keyed)])
    virtual = replace(keyed.request, release=replace(keyed.request.release, allow_real=False))
    virtual = replace(virtual, plan=replace(virtual.plan, fill_to=0))
    assert not virtual.holds_real_people
    check([one, replace(other, plan=replace(keyed, request=virtual))])


def test_union_keeps_that_a_judge_chose_faces_of_any_version(tmp_path):
    dataset, limits = LocalStore(tmp_path), SparedPeople("a" * 64, 0.01, 0.9, 0.8, "b" * 64)
    plan, roster = plan_of(3, version=FIRST)
    plan = replace(plan, request=replace(plan.request, spared=limits))
    begin(release(dataset, FIRST), plan, roster)
    make_units(release(dataset, FIRST), plan, roster, never)
    publish(dataset, release(dataset, FIRST), plan)
    numbers = {"first": plan.next_identity, "first_unit": plan.next_unit}
    make_release(dataset, 3, never, version=SECOND, extends=plan, **numbers)
    write_union(dataset, [FIRST, SECOND], UNION)
    assert open_plan(release(dataset, SECOND))[0].request.spared is None
    assert open_plan(release(dataset, UNION))[0].request.spared == limits


def test_union_has_a_card_until_it_is_measured(copied):
    store = release(copied, UNION)
    card = store.get(layout.CARD).decode()
    kept = manifest.collect(store, open_plan(store)[0]).counts.kept
    assert f"the union of {FIRST}, {SECOND} and {THIRD} (plan" in card
    assert f"- {kept} images in " in card
    assert card.startswith("---\nlicense: unknown\n---\n")
    assert "python -m jobs.evaluate" in card
    assert "does not hold images of real people" in card
    assert f"  {layout.CARD}\n" in store.get(layout.EXTRA_SUMS).decode()
    store.put(layout.CARD, b"measured")
    write_union(copied, chain_of(copied, THIRD), UNION)
    assert store.get(layout.CARD) == b"measured"
    for version in (FIRST, SECOND, THIRD):
        one = release(copied, version)
        one.put(layout.LINEAGE, Lineage((), (), "CC-BY-4.0").to_json())
    write_union(copied, [FIRST, SECOND, THIRD], "3.0.0")
    assert "- License: CC-BY-4.0. `lineage.json` lists" in (
        release(copied, "3.0.0").get(layout.CARD).decode()
    )
    compact(copied, "3.0.0", "3.0.1", Cut(identities_per_unit=100))
    compacted = release(copied, "3.0.1").get(layout.CARD).decode()
    assert "the images, in other shards, of 3.0.0 (plan" in compacted
    assert compacted.startswith("---\nlicense: cc-by-4.0\n---\n")


def test_union_by_the_job(copied):
    address = f"{copied.root}/releases/{THIRD}"
    union_job.main([address, "--of", f"{SECOND},{THIRD}", "--as", "3.0.0"])
    assert samples(copied, "3.0.0") == samples(copied, SECOND) + samples(copied, THIRD)
    for wrong in ("../x", f"{SECOND},", ".."):
        with pytest.raises(SystemExit, match=r"--of: got .*; want ASCII letters"):
            union_job.main([address, "--of", wrong, "--as", "4.0.0"])


def test_union_without_its_plan_is_said(copied):
    store = release(copied, UNION)
    plan = store.get(layout.PLAN)
    store.put(layout.PLAN, plan.replace(b'"seed"', b'"sEed"', 1))
    assert verify(store) == [f"{layout.PLAN} does not have its sha256"]
    store.delete(layout.PLAN)
    assert verify(store) == [f"{layout.PLAN} is missing or cannot be read"]
    store.put(layout.PLAN, plan)
    for odd in (b"", b"[]", b'{"successor": null, "when": "2026", "by": "x"}'):
        store.put(WITHDRAWN, odd)
        with pytest.raises(IntegrityError, match="is not the mark of a withdrawal"):
            verify(store)


@pytest.mark.s3
def test_union_in_a_bucket(s3_config):
    dataset = open_store(s3_config())
    make_chain(dataset)
    write_union(dataset, chain_of(dataset, THIRD), UNION)
    assert verify(release(dataset, UNION)) == []
    every = [one for version in (FIRST, SECOND, THIRD) for one in samples(dataset, version)]
    assert samples(dataset, UNION) == every


FACES = SourceRecord("folder", "f", 4, 2, False, "CC-BY-4.0", "Ada")
RECOGNIZER = NetworkRecord("recognizer", "1" * 64, (FACES,))


def joined(chain, *lineages: Lineage | None) -> Lineage | None:
    """What the union of as many versions of a chain descends from, where these have lineages."""
    members = []
    for version, lineage in zip((FIRST, SECOND, THIRD), lineages, strict=False):
        member = open_member(chain, version)
        release(chain, version).delete(layout.LINEAGE)
        if lineage:
            release(chain, version).put(layout.LINEAGE, lineage.to_json())
        members.append(replace(member, store=release(chain, version)))
    return (
        Lineage.from_json(data) if (data := joined_lineage(members).get(layout.LINEAGE)) else None
    )


def test_union_of_a_version_without_lineage_has_an_unknown_licence(copied):
    request = manifest.read_plan(release(copied, SECOND)).request
    known = Lineage((FACES,), (RECOGNIZER,), "CC-BY-4.0")
    found = joined(copied, known, None)
    source = request.source
    untold = SourceRecord(
        source.kind, source.fingerprint, source.num_images, source.num_identities, True
    )
    assert found.sources == (FACES, untold)
    assert {one.sha256 for one in found.networks} == {"1" * 64, *request.weights.values()}
    assert (found.license, effective(found).plain) == ("other", "unknown")
    told = replace(FACES, fingerprint=source.fingerprint)
    assert joined(copied, replace(known, sources=(told,)), None).sources == (told,)


def test_union_of_versions_without_lineage_has_none(copied):
    assert joined(copied, None, None, None) is None


def test_union_of_a_told_and_an_untold_network_has_the_told_one(copied):
    untold = replace(RECOGNIZER, learned_from=(), is_told=False)
    lineages = [Lineage((FACES,), (one,), "CC-BY-4.0") for one in (untold, RECOGNIZER)]
    for order in (lineages, lineages[::-1]):
        found = joined(copied, *order)
        assert found.networks == (RECOGNIZER,)
        assert (found.license, effective(found).license) == ("CC-BY-4.0", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("licences", "common"),
    [
        (["CC-BY-4.0", "CC-BY-4.0"], "CC-BY-4.0"),
        (["CC-BY-NC-4.0", "CC-BY-4.0"], "CC-BY-NC-4.0"),
        (["private", "CC-BY-4.0"], "private"),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], "private"),
        (["CC-BY-4.0", "other"], "other"),
    ],
)
def test_union_states_the_narrowest_common_licence(copied, licences, common):
    lineages = [Lineage((FACES,), (RECOGNIZER,), licence) for licence in licences]
    for order in (lineages, lineages[::-1]):
        found = joined(copied, *order)
        assert found.license == common
        refuse_wider(found, found.license)
