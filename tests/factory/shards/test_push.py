"""A pushed release is the release, byte for byte, in one commit; what may not be pushed is not."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from factory.errors import ConfigError, FactoryError, IntegrityError, StoreError, Unavailable
from factory.provenance.lineage import Lineage
from factory.provenance.withdrawn import WITHDRAWN, Withdrawn
from factory.shards import hub as hub_module
from factory.shards import layout
from factory.shards.push import Wishes, push
from factory.shards.union import write_union
from factory.shards.verify import verify
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore
from tests.grown import make_release, never
from tests.hub_server import TOKEN
from tests.withdrawals import write_version

WISHES = Wishes("owner/faces")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset of two versions, the second extending the first, and their union."""
    dataset = LocalStore(tmp_path_factory.mktemp("made"))
    one = make_release(dataset, 4, never, version="0.1.0")
    make_release(
        dataset,
        2,
        never,
        version="0.2.0",
        first=one.next_identity,
        first_unit=one.next_unit,
        extends=one,
    )
    write_union(dataset, ["0.1.0", "0.2.0"], "1.0.0")
    return dataset


def version(dataset, name: str) -> LocalStore:
    return dataset.below(layout.release_path(name))


@pytest.fixture
def release(made, tmp_path) -> LocalStore:
    """A copy of the first version, which a test may spoil."""
    shutil.copytree(version(made, "0.1.0").root, tmp_path / "releases" / "0.1.0")
    return LocalStore(tmp_path / "releases" / "0.1.0")


def arrived(hub, folder: Path, revision: str = "main", repo: str = "owner/faces") -> LocalStore:
    """What a repository holds, written to a folder."""
    there = hub.repos[repo]
    for name, data in there.commits[there.revision(revision)].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return LocalStore(folder)


def contents(store: LocalStore) -> dict[str, bytes]:
    return {name: store.get(name) for name in store.list("") if name != ".gitattributes"}


def pushed(store, wishes: Wishes = WISHES) -> list[str]:
    heard: list[str] = []
    push(store, wishes, heard.append)
    assert TOKEN not in "\n".join(heard)
    return heard


def test_what_arrives_is_the_release_in_one_private_commit(release, hub, tmp_path):
    heard = pushed(release)
    there = arrived(hub, tmp_path / "there", "0.1.0")
    before, after = contents(release), contents(there)
    assert {*before} <= {*after}
    assert {n for n in after if before.get(n) != after[n]} <= {layout.CARD, layout.EXTRA_SUMS}
    assert verify(there) == []
    repo = hub.repos["owner/faces"]
    assert repo.private
    assert (len(repo.commits), repo.tags) == (2, {"0.1.0": repo.head})  # with the repository's own
    assert hub.count("POST /api/datasets/owner/faces/commit") == 1
    assert heard[-1].endswith(repo.head)


def test_the_card_of_what_arrives_lets_datasets_read_it(release, hub, tmp_path):
    datasets = pytest.importorskip("datasets")
    pushed(release)
    there = arrived(hub, tmp_path / "there")
    header = yaml.safe_load(there.get(layout.CARD).decode().split("---\n")[1])
    assert {"license", "task_categories", "size_categories", "configs"} <= {*header}
    faces = datasets.load_dataset(str(there.root), cache_dir=str(tmp_path / "cache"))
    assert list(faces) == ["train"]
    wanted = {one.key: one for one in ReleaseStream(release, shuffle=False)}
    assert len(faces["train"]) == len(wanted) > 4
    for row in faces["train"]:
        sample = wanted[row["__key__"]]
        assert row["cls"] == sample.label
        assert (np.asarray(row["jpg"]) == sample.image_HWC).all()


def test_a_second_push_finds_nothing_to_do(release, hub):
    pushed(release)
    before = hub.repos["owner/faces"].head
    hub.asked.clear()
    assert pushed(release)[-1].endswith("holds this release as 0.1.0 already; nothing to do")
    assert hub.repos["owner/faces"].head == before
    assert not [request for request in hub.asked if not request.startswith("GET ")]


def test_another_release_under_the_same_tag_is_refused(made, release, hub):
    pushed(release)
    other = version(made, "0.2.0")
    with pytest.raises(StoreError, match=r"tag 0\.1\.0 names another release; want another --rev"):
        pushed(other, replace(WISHES, revision="0.1.0"))
    pushed(other)
    repo = hub.repos["owner/faces"]
    assert {*repo.tags} == {"0.1.0", "0.2.0"}
    name = layout.tar_name(0)  # of the same size, in which a bit is another
    tampered = bytearray(repo.commits[repo.tags["0.1.0"]][name])
    tampered[700] ^= 1
    repo.commits[repo.tags["0.1.0"]][name] = bytes(tampered)
    with pytest.raises(StoreError, match=r"tag 0\.1\.0 names another release"):
        pushed(release)
    assert layout.tar_name(0) not in repo.commits[repo.head], "main holds the newest alone"
    assert layout.tar_name(0) in repo.commits[repo.tags["0.1.0"]]


@pytest.mark.parametrize("step", ["PUT /objects", "POST /api/datasets/owner/faces/commit", "tag"])
def test_a_push_that_was_cut_off_goes_on(release, hub, step, monkeypatch):
    monkeypatch.setattr(hub_module, "AT_ONCE", 1)
    hub.fails["POST /api/datasets/owner/faces/tag" if step == "tag" else step] = 403
    with pytest.raises(StoreError, match=r"owner/faces: the hub refuses \(403\)"):
        pushed(release)
    assert not hub.repos["owner/faces"].tags
    pushed(release)
    assert hub.count("PUT /objects") == len(hub.objects) + (step == "PUT /objects"), "each once"
    assert len(hub.repos["owner/faces"].commits) == 2


def test_a_repository_with_other_files_is_left_alone(release, hub):
    pushed(release, replace(WISHES, repo="owner/other"))
    repo = hub.repos["owner/other"]
    repo.commit({"notes.txt": b"of somebody", layout.CARD: b"# Notes\n"})
    repo.tags.clear()
    with pytest.raises(StoreError, match=r"1 files that are no release of \w+, first notes\.txt"):
        pushed(release, replace(WISHES, repo="owner/other"))
    manifest = release.get(layout.MANIFEST).replace(b'"dataset": "', b'"dataset": "another_')
    repo.commit({layout.MANIFEST: manifest})
    with pytest.raises(StoreError, match="are no release of"):
        pushed(release, replace(WISHES, repo="owner/other"))


def test_a_union_arrives_with_the_files_of_its_versions(made, hub, tmp_path):
    union = version(made, "1.0.0")
    assert "../0.1.0/data/" in union.get(layout.SUMS).decode()
    pushed(union)
    there = arrived(hub, tmp_path / "there" / "1.0.0", "1.0.0")
    assert verify(there) == []
    for name, data in contents(there).items():
        assert b"../0." not in data, name
    both = [
        (one.key, one.label, one.image_HWC.tobytes())
        for name in ("0.1.0", "0.2.0")
        for one in ReleaseStream(version(made, name), shuffle=False)
    ]
    found = ReleaseStream(there, shuffle=False)
    assert [(one.key, one.label, one.image_HWC.tobytes()) for one in found] == both
    header = yaml.safe_load(there.get(layout.CARD).decode().split("---\n")[1])
    assert header["configs"][0]["data_files"][0]["path"] == "data/train-*.tar"
    pushed(union)
    assert hub.count("POST /api/datasets/owner/faces/commit") == 1


def test_what_is_not_finished_withdrawn_or_real_is_refused(release, hub, tmp_path):
    (release.root / layout.SUCCESS).unlink()
    with pytest.raises(StoreError, match=r"is sealed and not published; .* --unpublished"):
        pushed(release)
    pushed(release, replace(WISHES, unpublished=True))
    release.put(layout.SUCCESS, b"")
    release.put(WITHDRAWN, Withdrawn("0.2.0", "2026-01-01").to_json())
    with pytest.raises(FactoryError, match="was withdrawn on 2026-01-01"):
        pushed(release, replace(WISHES, repo="owner/withdrawn"))
    write_version(LocalStore(tmp_path / "real"))
    real = LocalStore(tmp_path / "real").below(layout.release_prefix("tiny", "0.1.0"))
    for public in (False, True):
        with pytest.raises(StoreError, match=r"people who exist may be in it; .* --real-people"):
            pushed(real, Wishes("owner/real", public=public))
    assert {*hub.repos} == {"owner/faces"}
    pushed(real, Wishes("owner/real", real_people=True))
    assert hub.repos["owner/real"].private


def test_what_may_not_be_passed_on_is_never_public(release, hub):
    lineage = Lineage((), (), license="private")
    release.put(layout.LINEAGE, lineage.to_json())
    for public in (True, False):
        wishes = replace(WISHES, public=public, dry_run=True)
        if public:
            with pytest.raises(StoreError, match="is private, so nothing of it"):
                pushed(release, wishes)
        else:
            assert pushed(release, wishes)[-1] == "nothing is sent"


def test_who_sees_a_repository_is_never_a_surprise(release, hub):
    pushed(release, replace(WISHES, public=True))
    assert not hub.repos["owner/faces"].private
    with pytest.raises(StoreError, match="is public; push with --public"):
        pushed(release)
    hub.repos["owner/faces"].private = True
    with pytest.raises(StoreError, match="is private; push without --public"):
        pushed(release, replace(WISHES, public=True))


def test_a_damaged_file_is_never_sent(release, hub):
    tar = release.root / layout.tar_name(1)
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"data/train-000001\.tar: does not have its sha256"):
        pushed(release)
    assert len(hub.repos["owner/faces"].commits) == 1
    assert hashlib.sha256(data).hexdigest() not in hub.objects
    tar.unlink()
    with pytest.raises(StoreError, match=r"data/train-000001\.tar: is gone"):
        pushed(release)


def test_a_release_in_another_store_is_copied_a_part_at_a_time(release, hub, tmp_path):
    class Elsewhere:
        """A store whose files are no files of this machine."""

        def __getattr__(self, name):
            return getattr(release, name)

    pushed(Elsewhere())
    assert verify(arrived(hub, tmp_path / "there")) == []


def test_dry_run_asks_and_sends_nothing(release, hub):
    assert pushed(release, replace(WISHES, dry_run=True))[-1] == "nothing is sent"
    assert hub.asked == []


def test_what_the_hub_refuses_is_one_line(release, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(StoreError, match=r"the hub refuses \(401\); want a token") as refused:
        pushed(release)
    assert "hf_of_nobody" not in str(refused.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.fails["POST /api/repos/create"] = 418
    with pytest.raises(StoreError, match="the hub answered 418"):
        pushed(release)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StoreError, match="HF_HUB_OFFLINE is set"):
        pushed(release)
    assert issubclass(Unavailable, StoreError)
    for wishes in (Wishes("faces"), Wishes("owner/faces", revision="a b")):
        with pytest.raises(ConfigError, match=r"^(repo|--revision): got"):
            pushed(release, wishes)
