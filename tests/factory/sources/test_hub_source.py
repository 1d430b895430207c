"""Datasets of the hub are read at one commit, never their code; their license is proposed."""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import replace

import pytest
from PIL import Image

from factory.config import SourceConfig, load
from factory.errors import ConfigError, SourceError
from factory.provenance.faces import require_license, source_record
from factory.provenance.lineage import Lineage
from factory.sources import open_source
from factory.sources.hub_source import license_on_card, snapshot
from tests.conftest import PX, draw_face
from tests.hub_server import Repo

datasets = pytest.importorskip("datasets")
CARD = b"---\nlicense: cc-by-4.0\n---\n# Faces\n"
NAMES = ["Zoe", "Adam"]


def png(person: int, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_face(person, image)).save(buffer, "PNG")
    return buffer.getvalue()


def table(labels: list[int]) -> bytes:
    """Parquet as `datasets` writes it: image i is of the person of its label."""
    rows = datasets.Dataset.from_dict(
        {
            "image": [
                {"bytes": png(abs(label), i), "path": None} for i, label in enumerate(labels)
            ],
            "label": labels,
        },
        features=datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES)),
    )
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def at_hub(hub):
    """Function of files -> the config of a dataset that the hub has with them."""
    snapshot.cache_clear()

    def put(files: dict[str, bytes], name: str = "owner/faces") -> SourceConfig:
        repo = hub.repos.setdefault(name, Repo(private=False))
        repo.commit(files)
        return SourceConfig(kind="parquet", path=f"hf://{name}", image_px=PX)

    yield put
    snapshot.cache_clear()


def test_images_people_and_commit_are_those_of_the_dataset(at_hub, hub):
    config = at_hub({"data/train-0.parquet": table([0, 1, 1]), "README.md": CARD})
    source = open_source(config)
    assert [source.names[label] for label in source.labels] == ["Zoe", "Adam", "Adam"]
    assert list(source.names) == sorted(NAMES)
    assert [source.encoded(i) for i in range(3)] == [png(0, 0), png(1, 1), png(1, 2)]
    assert (source[2].image_HWC == draw_face(1, 2)).all()
    assert source.keys[2] == "train/0000002"
    commit = hub.repos["owner/faces"].head
    assert source.remarks == (f"source.path: hf://owner/faces is read at commit {commit}",)
    record = source_record(replace(config, license="CC-BY-4.0"), source)
    assert record.commit == commit
    assert Lineage.from_json(Lineage((record,), ()).to_json()).sources == (record,)
    assert pickle.loads(pickle.dumps(source)).encoded(1) == png(1, 1)


def test_a_revision_pins_the_commit(at_hub, hub):
    config = at_hub({"train.parquet": table([0, 1])})
    repo = hub.repos["owner/faces"]
    repo.tags["v1"] = first = repo.head
    at_hub({"train.parquet": table([0, 1, 1, 0])})
    pinned = open_source(replace(config, path="hf://owner/faces@v1"))
    newest = open_source(config)
    assert (len(pinned), len(newest)) == (2, 4)
    assert pinned.fingerprint != newest.fingerprint
    by_commit = open_source(replace(config, path=f"hf://owner/faces@{first}"))
    assert by_commit.fingerprint == pinned.fingerprint
    with pytest.raises(SourceError, match=r"hf://owner/faces@v9 cannot be had"):
        open_source(replace(config, path="hf://owner/faces@v9"))


def test_offline_only_what_is_in_the_cache_is_read(at_hub, hub, monkeypatch):
    config = at_hub({"train.parquet": table([0, 1]), "README.md": CARD})
    open_source(config)
    snapshot.cache_clear()
    hub.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert len(open_source(config)) == 2
    with pytest.raises(SourceError, match="owner/none is not in this machine's cache of the hub"):
        open_source(replace(config, path="hf://owner/none"))
    assert hub.asked == []


def test_no_code_and_no_pickle_is_fetched(at_hub, hub):
    evil = b"raise SystemExit('run')"
    files = {"train.parquet": table([0, 1]), "faces.py": evil, "faces.pkl": b"\x80\x04."}
    open_source(at_hub(files))
    assert not [r for r in hub.asked if r.endswith((".py", ".pkl")) and "/resolve/" in r]
    assert [r for r in hub.asked if r.endswith(".parquet") and "/resolve/" in r]
    with pytest.raises(SourceError, match="hf://owner/code is not read by datasets"):
        open_source(at_hub({"code.py": evil, "README.md": CARD}, "owner/code"))


@pytest.mark.parametrize("path", ["../../secret/*.parquet", "/etc/*.parquet", "hf://datasets/x/y"])
def test_a_card_that_names_files_elsewhere_is_refused(at_hub, path):
    card = f"---\nconfigs:\n- config_name: default\n  data_files: '{path}'\n---\n".encode()
    with pytest.raises(SourceError, match=r"the card of hf://owner/faces names files outside"):
        open_source(at_hub({"train.parquet": table([0, 1]), "README.md": card}))


@pytest.mark.parametrize(
    ("begin", "end"),
    [("\n---\n", "\n"), (" ---\n", "\n"), ("\ufeff---\r\n", "\r\n"), ("---\r", "\r")],
)
@pytest.mark.parametrize("scheme", ["", "file:", "local:"])
def test_however_its_header_begins_a_card_names_no_file_of_this_machine(
    at_hub, tmp_path, begin, end, scheme
):
    (tmp_path / "own.parquet").write_bytes(table([0, 1]))
    lines = ("license: cc0-1.0", "configs:", "- config_name: default", "  data_files: ")
    card = f"{begin}{end.join(lines)}'{scheme}{tmp_path}/own.parquet'{end}---{end.strip(chr(13))}"
    config = at_hub({"train.parquet": table([0, 1]), "README.md": card.encode()})
    assert license_on_card(config) == "cc0-1.0"
    with pytest.raises(SourceError, match=r"the card of hf://owner/faces names files outside"):
        open_source(config)


@pytest.mark.parametrize("scheme", ["", "file:"])
def test_what_datasets_resolved_lies_in_the_dataset(at_hub, tmp_path, monkeypatch, scheme):
    monkeypatch.setattr("factory.sources.hub_source._header", lambda folder: {})
    (tmp_path / "own.parquet").write_bytes(table([0, 1]))
    card = (
        f"---\nconfigs:\n- config_name: default\n  data_files: {scheme}{tmp_path}/*.parquet\n---\n"
    )
    config = at_hub({"train.parquet": table([0, 1]), "README.md": card.encode()})
    with pytest.raises(SourceError, match=r"the card of hf://owner/faces names files outside"):
        open_source(config)


def test_settings_beside_the_card_are_checked_too(at_hub, tmp_path):
    (tmp_path / "own.parquet").write_bytes(table([0, 1]))
    config = at_hub({"train.parquet": table([0, 1])})
    settings = f"configs:\n- config_name: default\n  data_files: file:{tmp_path}/own.parquet\n"
    (snapshot(config.path) / ".huggingface.yaml").write_text(settings)
    with pytest.raises(SourceError, match=r"the card of hf://owner/faces names files outside"):
        open_source(config)


def test_files_that_are_not_read_are_counted(at_hub, monkeypatch):
    files = {"train.parquet": table([0, 1]), "README.md": CARD, "notes.md": b"x"}
    beside = {"faces.Parquet": b"x", "more.7z": b"x", "a.Jpg": b"x", "b.jxl": b"x", "c.png": b"x"}
    config = at_hub(files | beside)
    with pytest.raises(SourceError, match=r"source\.max_left_out_fraction: 5 of 7 are not read"):
        open_source(config)
    source = open_source(replace(config, max_left_out_fraction=0.9))
    found = {part.reason: part.first for part in source.left_out}
    assert found == {
        "other_file": ("notes.md",),
        "other_shard": ("faces.Parquet", "more.7z"),
        "unknown_format": ("a.Jpg", "b.jxl", "c.png"),
    }
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = open_source(replace(config, max_left_out_fraction=0.9))
    assert again.left_out == source.left_out


def test_offline_what_was_never_listed_is_said(at_hub, monkeypatch):
    config = at_hub({"train.parquet": table([0, 1]), "b.jxl": b"x"})
    snapshot(config.path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = open_source(config)
    assert source.left_out == ()
    assert "never fetched are not counted" in source.remarks[1]


def test_a_folder_of_images_is_a_dataset_too(at_hub):
    files = {f"train/{name}/{i}.png": png(p, i) for p, name in enumerate(NAMES) for i in range(2)}
    source = open_source(at_hub(files))
    assert list(source.names) == sorted(NAMES)
    found = {(source.names[source.labels[i]], source.encoded(i)) for i in range(4)}
    assert found == {(name, png(p, i)) for p, name in enumerate(NAMES) for i in range(2)}


def test_all_splits_are_read_and_who_has_no_label_is_left_out(at_hub):
    files = {"train.parquet": table([0, 1, 1, 0]), "test.parquet": table([1, -1, 0])}
    config = at_hub(files)
    with pytest.raises(SourceError, match=r"source\.max_left_out_fraction: 1 of 7 are not read"):
        open_source(config)
    source = open_source(replace(config, max_left_out_fraction=0.2))
    assert list(source.keys) == [
        "test/0000000", "test/0000002", *(f"train/000000{i}" for i in range(4))
    ]  # fmt: skip
    assert source.encoded(1) == png(0, 2)


def test_the_license_of_the_card_is_proposed_and_never_taken(at_hub):
    config = at_hub({"train.parquet": table([0, 1]), "README.md": CARD})
    with pytest.raises(ConfigError, match=r"card says cc-by-4\.0: set source\.license=cc-by-4\.0"):
        require_license(config)
    assert source_record(config, open_source(config)).license == "unknown"
    require_license(replace(config, license="cc-by-4.0"))
    bare = at_hub({"train.parquet": table([0, 1])}, "owner/bare")
    with pytest.raises(ConfigError) as refused:
        require_license(bare)
    assert "card" not in str(refused.value)


def test_who_may_not_read_is_told_in_one_line(at_hub, hub, monkeypatch):
    config = at_hub({"train.parquet": table([0, 1])})
    hub.repos["owner/faces"].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(SourceError, match=r"cannot be had .* `hf auth login`") as refused:
        open_source(config)
    assert "hf_of_nobody" not in str(refused.value)


def test_an_image_outside_of_the_dataset_is_not_read(at_hub, tmp_path):
    config = at_hub({"train.parquet": table([0, 1])})
    source = open_source(config)
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(1, 1))
    paths = datasets.Dataset.from_dict({"image": [{"bytes": None, "path": str(secret)}] * 2})
    source._splits = [("train", paths)]
    with pytest.raises(SourceError, match="train/0000000: lies outside of the dataset"):
        source.encoded(0)


def test_addresses_and_kinds_are_checked_with_the_config(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    for path, kind, said in (
        ("hf://faces", "parquet", r"source\.path: got 'hf://faces'; want hf://owner/name"),
        ("hf:owner/faces", "parquet", r"want hf://owner/name"),
        ("hf://owner/faces", "folder", r"with kind folder; want kind parquet"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / "c.yaml", [f"source.path={path}", f"source.kind={kind}"])


def test_without_the_libraries_the_line_says_what_to_install(at_hub, monkeypatch):
    config = at_hub({"train.parquet": table([0, 1])})
    for library in ("datasets", "huggingface_hub"):
        snapshot.cache_clear()
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ConfigError, match=r"pip install 'face-factory\[hub\]'"):
            open_source(config)
