"""A signature is OpenSSH's to the byte, and whatever is not signed by that key is named."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from factory.errors import ConfigError, Conflict, StoreError
from factory.shards import layout
from factory.shards.manifest import seal_extras
from factory.shards.signature import (
    PASSPHRASE,
    Signature,
    check_signature,
    fingerprint,
    read_private_key,
    read_signers,
    sign,
    signed_bytes,
    signer_of,
)
from factory.store import LocalStore
from tests.releases import write_release

crypto = pytest.importorskip("cryptography", reason="needs the extra 'sign'")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

needs_ssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def save(key, file: Path, passphrase: str = "", ssh: bool = True) -> Path:
    """A private key as a file, its public key beside it."""
    private = serialization.PrivateFormat.OpenSSH if ssh else serialization.PrivateFormat.PKCS8
    hidden = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, hidden))
    file.chmod(0o600)
    encoding = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    file.with_suffix(".pub").write_bytes(key.public_key().public_bytes(*encoding) + b" me@home\n")
    return file


@pytest.fixture
def keys(tmp_path) -> list[Path]:
    """Two private keys, always the same."""
    return [
        save(Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32), tmp_path / f"key{i}")
        for i in (1, 2)
    ]


@pytest.fixture
def release(tmp_path) -> LocalStore:
    store = LocalStore(tmp_path / "release")
    write_release(store, [1], 1)
    return store


def checked(store, key_file):
    return check_signature(store, read_signers(key_file.with_suffix(".pub")))


def test_a_signed_release_is_that_of_its_signer_alone(release, keys):
    by = sign(release, keys[0])
    assert signer_of(release) == by
    assert checked(release, keys[0]) == []
    (problem,) = checked(release, keys[1])
    assert problem.startswith(f"SHA256SUMS.sig is by {by}; want SHA256:")


def test_what_is_not_signed_is_named(release, keys):
    assert checked(release, keys[0]) == ["SHA256SUMS.sig is missing: the release is not signed"]
    assert signer_of(release) is None
    by = sign(release, keys[0])
    sums = release.get(layout.SUMS)
    release.put(layout.SUMS, sums[:-2] + b"X\n")
    assert checked(release, keys[0]) == [f"SHA256SUMS is not what {by} has signed"]
    release.put(layout.SUMS, sums)
    assert checked(release, keys[0]) == []
    signature = Signature.parse(release.get(layout.SIGNATURE))
    forged = Signature(signature.public_key, bytes(64))
    release.put(layout.SIGNATURE, forged.armored())
    assert checked(release, keys[0]) == [f"SHA256SUMS is not what {by} has signed"]


def test_a_signature_for_another_purpose_does_not_count(release, keys):
    key = read_private_key(keys[0])
    raw = key.sign(signed_bytes(release.get(layout.SUMS), "git"))
    other = Signature(key.public_key().public_bytes_raw(), raw, "git")
    release.put(layout.SIGNATURE, other.armored())
    assert checked(release, keys[0]) == ["SHA256SUMS.sig is for 'git'; want 'face-factory'"]
    relabeled = Signature(other.public_key, raw)
    release.put(layout.SIGNATURE, relabeled.armored())
    assert "is not what" in checked(release, keys[0])[0]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN SSH SIGNATURE-----\n!!!!\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAf////8=\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAg==\n-----END SSH SIGNATURE-----\n",
    ],
    ids=["empty", "no text", "no base64", "cut", "version 2"],
)
def test_a_file_that_is_no_signature_is_named(text, release, keys):
    release.put(layout.SIGNATURE, text)
    assert checked(release, keys[0]) == ["SHA256SUMS.sig is no SSH signature by an Ed25519 key"]
    assert signer_of(release) == "a key that cannot be read"


def test_again_by_the_same_key_changes_nothing_and_another_is_refused(release, keys):
    by = sign(release, keys[0])
    before = release.get(layout.SIGNATURE)
    assert sign(release, keys[0]) == by
    assert release.get(layout.SIGNATURE) == before
    with pytest.raises(Conflict, match=rf"by {re.escape(by)}; .* to sign by SHA256:"):
        sign(release, keys[1])
    assert checked(release, keys[0]) == []


def test_no_list_of_digests_holds_it_and_a_release_being_made_is_not_signed(release, keys):
    sign(release, keys[0])
    seal_extras(release)
    assert b"sig" not in release.get(layout.SUMS) + release.get(layout.EXTRA_SUMS)
    names = release.list("")
    assert not [name for name in names if b"PRIVATE" in release.get(name)], "the key stays outside"
    release.delete(layout.SUCCESS)
    with pytest.raises(StoreError, match="is not a sealed release"):
        sign(release, keys[0])


@needs_ssh
def test_ssh_keygen_makes_the_same_bytes_and_accepts_ours(release, keys, tmp_path):
    sign(release, keys[0])
    sums, allowed = release.path(layout.SUMS), tmp_path / "allowed"
    copy = tmp_path / "copy"
    copy.write_bytes(sums.read_bytes())
    ssh("-Y", "sign", "-n", "face-factory", "-f", str(keys[0]), str(copy))
    assert copy.with_name("copy.sig").read_bytes() == release.get(layout.SIGNATURE)
    public = keys[0].with_suffix(".pub").read_text()
    allowed.write_text(f"# people\nme@home,you@home {public}")
    arguments = ["-Y", "verify", "-n", "face-factory", "-f", str(allowed), "-I", "me@home"]
    signature = str(release.path(layout.SIGNATURE))
    assert ssh(*arguments, "-s", signature, stdin=sums.read_bytes()).returncode == 0
    assert ssh(*arguments, "-s", signature, stdin=b"other").returncode != 0
    assert check_signature(release, read_signers(allowed)) == []
    shown = ssh("-l", "-f", str(keys[0].with_suffix(".pub"))).stdout.decode()
    assert signer_of(release) in shown


def test_files_of_signers_are_read_as_openssh_writes_them(keys, tmp_path):
    first, second = (key.with_suffix(".pub").read_text() for key in keys)
    file = tmp_path / "allowed"
    file.write_text(f'\n# who\na@b,c@d namespaces="face-factory" {first}{second}')
    assert [*read_signers(file).values()] == ["a@b,c@d", ""]
    assert len({fingerprint(key) for key in read_signers(file)}) == 2
    for line in (
        f'a@b valid-before="2020" {first}',
        "ssh-rsa AAAA me",
        f"a cert-authority {first}",
        f"cert-authority {first}",
        f"CERT-authority {first}",
        f"@revoked {first}",
        f"!a@b {first}",
        f"a@b,!c@d {first}",
        f'namespaces="git" {first}',
        f'a@b namespaces="git" {first}',
    ):
        file.write_text(line)
        with pytest.raises(ConfigError, match=r"allowed line 1 is not a public ssh-ed25519 key"):
            read_signers(file)
    file.write_text("ssh-ed25519 AAAAC3Nz me")
    with pytest.raises(ConfigError, match="line 1 holds a key that is cut"):
        read_signers(file)
    file.write_text("# nobody\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_signers(file)
    with pytest.raises(ConfigError, match=r"--signer: .*none cannot be read \(No such file"):
        read_signers(tmp_path / "none")


def test_a_private_key_that_others_may_read_is_refused(release, keys):
    for mode in (0o640, 0o604, 0o620):
        keys[0].chmod(mode)
        with pytest.raises(ConfigError, match=rf"key1 may be read by .*mode {mode:04o}.*chmod 600"):
            sign(release, keys[0])
    assert signer_of(release) is None
    keys[0].chmod(0o400)
    assert sign(release, keys[0])


def test_an_encrypted_key_needs_its_passphrase_from_the_environment(release, tmp_path, monkeypatch):
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    file = save(key, tmp_path / "hidden", "open sesame", ssh=False)
    with pytest.raises(ConfigError, match=f"is encrypted; {PASSPHRASE} must hold its passphrase"):
        sign(release, file)
    monkeypatch.setenv(PASSPHRASE, "close sesame")
    with pytest.raises(ConfigError, match="is not its passphrase") as caught:
        sign(release, file)
    assert "sesame" not in str(caught.value)
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert sign(release, file) == fingerprint(key.public_key().public_bytes_raw())
    plain = save(key, tmp_path / "plain", ssh=False)
    with pytest.raises(ConfigError, match=r"is not encrypted, but .* is set; unset it"):
        sign(release, plain)


def test_an_encrypted_key_of_openssh_needs_bcrypt(release, tmp_path, monkeypatch):
    pytest.importorskip("bcrypt", reason="needs the extra 'sign'")
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    file = save(key, tmp_path / "hidden", "open sesame")
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert sign(release, file) == fingerprint(key.public_key().public_bytes_raw())


def test_other_keys_are_refused_in_one_line(tmp_path):
    file = save(rsa.generate_private_key(65537, 1024), tmp_path / "rsa", ssh=False)
    with pytest.raises(ConfigError, match="rsa is not an Ed25519 key"):
        read_private_key(file)
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    with pytest.raises(ConfigError, match="rsa is no private key, or"):
        read_private_key(file)


def ssh(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(["ssh-keygen", *arguments], input=stdin, capture_output=True, timeout=60)
