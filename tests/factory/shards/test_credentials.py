"""Content Credentials of a release hold for its digests alone, and say what its images are."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import pytest

from factory.errors import ConfigError, Conflict
from factory.shards import layout
from factory.shards.credentials import description, sign_credentials
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore
from tests.factory.shards.test_signature import save
from tests.planned import REQUEST, virtual_people

pytest.importorskip("cryptography", reason="needs the extra 'c2pa'")
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PLAN = Plan(REQUEST, {}, cut_units(virtual_people(2, 2), 2))
KEY, AUTHORITY = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
BEGAN = datetime.datetime(2026, 1, 1)


def certificate(subject: str, key: Ed25519PrivateKey, *, of_authority: bool) -> bytes:
    """A certificate by AUTHORITY as C2PA wants it, as PEM."""

    def name(common: str) -> x509.Name:
        names = ((NameOID.ORGANIZATION_NAME, "tests"), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in names])

    usage = x509.KeyUsage(
        digital_signature=not of_authority,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    ours, theirs = key.public_key(), AUTHORITY.public_key()
    builder = (
        x509.CertificateBuilder(name("authority"), name(subject), ours, 7)
        .not_valid_before(BEGAN)
        .not_valid_after(BEGAN + datetime.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(of_authority, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ours), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(theirs), False)
    )
    if not of_authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, False)
    return builder.sign(AUTHORITY, None).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def key(tmp_path) -> Path:
    return save(KEY, tmp_path / "key")


@pytest.fixture
def chain(tmp_path) -> Path:
    """The key's certificate and its authority's."""
    file, own = tmp_path / "chain.pem", certificate("signer", KEY, of_authority=False)
    file.write_bytes(own + certificate("authority", AUTHORITY, of_authority=True))
    return file


@pytest.fixture
def release(tmp_path) -> LocalStore:
    store = LocalStore(tmp_path / "release")
    store.put(layout.PLAN, PLAN.to_json())
    store.put(layout.SUMS, b"0" * 64 + b"  plan.json\n")
    return store


def test_it_says_which_release_it_is_and_what_its_images_are():
    said = description(PLAN)
    assert said["title"] == "tiny 0.1.0"
    assert said["claim_generator_info"][0]["name"] == "Face Factory"
    (made,) = said["assertions"][0]["data"]["actions"]
    assert made == {
        "action": "c2pa.created",
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/"
        "trainedAlgorithmicMedia",
        "description": "Face Factory, generator 222222222222",
    }


def test_c2pa_accepts_it_for_these_digests_alone(release, key, chain):
    c2pa = pytest.importorskip("c2pa", reason="needs the extra 'c2pa'")
    sign_credentials(release, key, chain)
    manifest, sums = release.get(layout.CREDENTIALS), release.get(layout.SUMS)

    def read(data):
        reader = c2pa.Reader("text/plain", io.BytesIO(data), manifest)
        codes = {entry["code"] for entry in json.loads(reader.json())["validation_status"]}
        return reader.get_validation_state(), codes

    assert read(sums) == ("Valid", {"signingCredential.untrusted"})  # by our own authority
    state, codes = read(sums.replace(b"plan", b"plum"))
    assert state == "Invalid"
    assert "assertion.dataHash.mismatch" in codes
    with pytest.raises(Conflict, match=r"SHA256SUMS\.c2pa: is there already; remove it"):
        sign_credentials(release, key, chain)


def test_a_chain_that_c2pa_does_not_accept_is_one_line(release, key, tmp_path):
    pytest.importorskip("c2pa", reason="needs the extra 'c2pa'")
    file = tmp_path / "authority.pem"
    file.write_bytes(certificate("signer", KEY, of_authority=True))
    with pytest.raises(ConfigError, match="--certificates: C2PA does not accept them") as caught:
        sign_credentials(release, key, file)
    assert "\n" not in str(caught.value)
    assert not release.exists(layout.CREDENTIALS)


def test_other_chains_and_a_missing_package_are_refused_by_name(
    release, key, chain, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r"c2pa is not installed .* pip install .*\[c2pa\]"):
        sign_credentials(release, key, chain)
    monkeypatch.setattr("factory.shards.credentials._library", lambda: None)
    with pytest.raises(ConfigError, match=r"the first of .*chain\.pem is not that of --key"):
        sign_credentials(release, save(AUTHORITY, tmp_path / "other"), chain)
    chain.write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=r"chain\.pem holds no certificates"):
        sign_credentials(release, key, chain)
    with pytest.raises(ConfigError, match="none cannot be read"):
        sign_credentials(release, key, tmp_path / "none")
