"""Marks on the command line: a release is signed, checked by its signer's key, and recognized."""

from __future__ import annotations

import pytest
from PIL import Image

from factory.shards import layout, signature
from factory.shards.marks import Mark
from factory.shards.reader import metadata_rows, read_face
from factory.store import LocalStore
from jobs._catalog import find
from tests.releases import write_release

pytest.importorskip("cryptography", reason="needs the extra 'sign'")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@pytest.fixture
def release(tmp_path) -> LocalStore:
    store = LocalStore(tmp_path / "release")
    write_release(store, [2], 2, px=64)
    return store


@pytest.fixture
def keys(tmp_path) -> list[str]:
    """Two private keys, each with its public key beside it."""
    files = []
    for i in (1, 2):
        key, file = Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32), tmp_path / f"key{i}"
        pem, ssh = serialization.Encoding.PEM, serialization.Encoding.OpenSSH
        private = (serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        file.write_bytes(key.private_bytes(pem, *private))
        file.chmod(0o600)
        public = key.public_key().public_bytes(ssh, serialization.PublicFormat.OpenSSH)
        file.with_suffix(".pub").write_bytes(public)
        files.append(str(file))
    return files


@pytest.fixture
def run(capsys):
    """Function of a job's name and words -> (exit code, what it printed)."""

    def run_job(name, *words):
        code = 0
        try:
            find(name).main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
            if isinstance(code, str):
                return 1, capsys.readouterr().out + code
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run_job


def test_a_release_is_signed_and_checked_by_its_signer(release, keys, run, monkeypatch):
    monkeypatch.setattr("factory.shards.verify.verify", lambda *given, **how: [])  # has no plan
    place = release.root
    code, printed = run("verify", place, "--signer", f"{keys[0]}.pub")
    assert code == 1
    assert "wrong: SHA256SUMS.sig is missing: the release is not signed" in printed
    code, printed = run("sign", place, "--key", keys[0])
    by = signature.signer_of(release)
    assert (code, printed) == (0, f"{place}: SHA256SUMS is signed by {by}\n")
    code, printed = run("verify", place, "--signer", f"{keys[0]}.pub")
    assert code == 0
    assert printed.endswith(f"signed by {by}\n")
    assert f"signed by {by}; --signer FILE checks that it is" in run("verify", place)[1]
    code, printed = run("verify", place, "--signer", f"{keys[1]}.pub")
    assert code == 1
    assert f"wrong: SHA256SUMS.sig is by {by}; want SHA256:" in printed
    release.put(layout.SUMS, release.get(layout.SUMS) + b"\n")
    code, printed = run("verify", place, "--signer", f"{keys[0]}.pub")
    assert code == 1
    assert f"wrong: SHA256SUMS is not what {by} has signed" in printed


def test_a_key_must_be_named_and_a_private_one_is_no_signer(release, keys, run):
    code, printed = run("sign", release.root)
    assert code == 1
    assert "error: --key: is missing; want a private key" in printed
    code, printed = run("verify", release.root, "--signer", keys[0])
    assert code == 1
    assert "line 1 is not a public ssh-ed25519 key" in printed


def test_images_are_recognized_and_the_exit_code_says_whether_all_are(release, run, tmp_path):
    row = metadata_rows(release, 0)[3]
    (tmp_path / "same.jpg").write_bytes(read_face(release, 0, row))
    with Image.open(tmp_path / "same.jpg") as image:
        image.convert("RGB").resize((224, 224)).save(tmp_path / "again.jpg", quality=75)
    words = [tmp_path / "same.jpg", tmp_path / "again.jpg", release.root]
    code, printed = run("ours", *words)
    lines = [line.split("/")[-1] for line in printed.splitlines()]
    assert code == 0
    assert lines[:3] == [
        "same.jpg: marked trainedAlgorithmicMedia",
        "same.jpg: is 000001_0001, identity 1 of drawn 0.1.0 (the same sha256)",
        "again.jpg: carries no mark",
    ]
    assert lines[3].startswith("again.jpg: is made of 000001_0001, identity 1 of drawn 0.1.0 (")
    Image.linear_gradient("L").save(tmp_path / "noise.png")
    code, printed = run("ours", tmp_path / "noise.png", *words)
    assert code == 1
    assert f"noise.png: not found in {release.root}\n" in printed


def test_a_mark_cannot_say_that_an_image_was_found(release, run, tmp_path):
    forged = "me\np.jpg: is 000001_0001, identity 1 of drawn 0.1.0 (the same sha256)\x9b31m"
    packet = Mark(system=forged).packet().replace("\n", "&#10;").encode()
    Image.linear_gradient("L").save(tmp_path / "p.jpg", "JPEG", xmp=packet)
    code, printed = run("ours", tmp_path / "p.jpg", release.root)
    assert code == 1
    marked, not_found = printed.splitlines()
    assert "made by me p.jpg: is 000001_0001" in marked
    assert marked.isprintable()
    assert not_found.endswith(f"not found in {release.root}")


@pytest.mark.parametrize("missing", ["image", "release"])
def test_images_and_releases_are_told_apart(missing, release, run, tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    code, printed = run("ours", tmp_path / "a.png" if missing == "release" else release.root)
    assert code == 1
    assert "want IMAGE ... RELEASE" in printed
