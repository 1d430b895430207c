"""A detached signature over SHA256SUMS: who has the public key can tell whose release it is.

SHA256SUMS.sig is an SSH signature (OpenSSH, PROTOCOL.sshsig) by an Ed25519 key, so `ssh-keygen -Y
verify -n face-factory` checks it without this code. It covers all that SHA256SUMS lists, so every
byte of plan, roster, lineage, data, metadata, rejects and index; metrics, report and card may be
made again and are not covered.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import ConfigError, Conflict, StoreError
from factory.shards import layout
from factory.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAMESPACE = "face-factory"
"""What a signature is for: one that the same key made for another purpose does not count."""
PASSPHRASE = "FACE_FACTORY_SIGNING_PASSPHRASE"
"""Environment variable with the passphrase of a private key that has one."""
KIND, HASH, MAGIC = "ssh-ed25519", "sha512", b"SSHSIG"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
LINE = 70
PUBLIC_KEY = re.compile(rf"(?:(?P<names>\S+)\s+)?(?P<options>.*?){KIND}\s+(?P<key>[\w+/]+=*)")
"""A line of a .pub file or, with names first, of a file of allowed signers."""
NAMES = re.compile(r"(?!cert-authority$)(?![@!])(?!.*,!)[^\"=\s]*", re.IGNORECASE)
"""Whose key it is, if the line says so: no marker, option or name that is left out."""
OPTIONS = re.compile(rf'(namespaces="{NAMESPACE}")?')
"""Options of an allowed signer that are understood; what limits more is left to ssh-keygen."""


@dataclass(frozen=True)
class Signature:
    """A signature as its file holds it."""

    public_key: bytes
    """32 bytes."""
    raw: bytes
    """64 bytes, by `public_key` over `signed_bytes`."""
    namespace: str = NAMESPACE

    def armored(self) -> bytes:
        """The text of its file."""
        fields = (_ssh_key(self.public_key), self.namespace, "", HASH, _packed(KIND, self.raw))
        text = base64.b64encode(MAGIC + struct.pack(">I", 1) + _packed(*fields)).decode()
        lines = [text[start : start + LINE] for start in range(0, len(text), LINE)]
        return "\n".join([BEGIN, *lines, END, ""]).encode()

    @classmethod
    def parse(cls, armored: bytes) -> Signature:
        """Inverse of `armored`; raises ValueError for what is no SSH signature by Ed25519."""
        text = armored.decode("ascii").strip()
        if not text.startswith(BEGIN) or not text.endswith(END):
            raise ValueError("is not armored")
        body = base64.b64decode("".join(text[len(BEGIN) : -len(END)].split()), validate=True)
        if not body.startswith(MAGIC + struct.pack(">I", 1)):
            raise ValueError("is of another version")
        key, namespace, _, hashed_by, signature = _unpacked(body[len(MAGIC) + 4 :], 5)
        kinds, keys = zip(_unpacked(key, 2), _unpacked(signature, 2), strict=True)
        if {*kinds} != {KIND.encode()} or hashed_by != HASH.encode():
            raise ValueError("is by another kind of key")
        return cls(keys[0], keys[1], namespace.decode())


def signed_bytes(message: bytes, namespace: str = NAMESPACE) -> bytes:
    """What a key signs for a message."""
    return MAGIC + _packed(namespace, "", HASH, hashlib.sha512(message).digest())


def fingerprint(public_key: bytes) -> str:
    """SHA256:... of a public key of 32 bytes, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(_ssh_key(public_key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def sign(store: Store, key_file: Path) -> str:
    """Sign SHA256SUMS of a sealed release; returns the fingerprint of the key.

    Again by the same key changes nothing, because an Ed25519 signature is the same each time.
    Raises StoreError for a release that is not sealed, Conflict where SHA256SUMS.sig is another,
    ConfigError for a key that cannot be used.
    """
    key = read_private_key(key_file)
    if not store.exists(layout.SUCCESS):
        raise StoreError(f"{store.url}: is not a sealed release; finish it first")
    public_key = key.public_key().public_bytes_raw()
    raw = key.sign(signed_bytes(store.get(layout.SUMS)))
    try:
        store.put_once(layout.SIGNATURE, Signature(public_key, raw).armored())
    except Conflict:
        raise Conflict(
            f"{store.url}/{layout.SIGNATURE}: is there already, by {signer_of(store)}; a release "
            f"has one signature, remove that file to sign by {fingerprint(public_key)}"
        ) from None
    return fingerprint(public_key)


def signer_of(store: Store) -> str | None:
    """Whose signature a release carries, unchecked: a fingerprint; None where it carries none."""
    if not store.exists(layout.SIGNATURE):
        return None
    try:
        return fingerprint(Signature.parse(store.get(layout.SIGNATURE)).public_key)
    except ValueError:
        return "a key that cannot be read"


def check_signature(store: Store, signers: Mapping[bytes, str]) -> list[str]:
    """What is wrong with the signature of a release, in one line; nothing where a signer made it.

    `signers` are names by public key, as `read_signers` gives them.
    """
    name = layout.SIGNATURE
    if not store.exists(name):
        return [f"{name} is missing: the release is not signed"]
    try:
        signature = Signature.parse(store.get(name))
    except ValueError:
        return [f"{name} is no SSH signature by an Ed25519 key"]
    by = fingerprint(signature.public_key)
    if signature.public_key not in signers:
        wanted = ", ".join(fingerprint(key) for key in signers)
        return [f"{name} is by {by}; want {wanted}"]
    if signature.namespace != NAMESPACE:
        return [f"{name} is for {signature.namespace!r}; want {NAMESPACE!r}"]
    if not store.exists(layout.SUMS) or not _is_valid(signature, store.get(layout.SUMS)):
        return [f"{layout.SUMS} is not what {by} has signed"]
    return []


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """An Ed25519 key from a file of OpenSSH or PEM; raises ConfigError that tells nothing of it."""
    _need_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _content("--key", file)
    _refuse_open(file)
    is_ssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    read = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
    passphrase = os.environ.get(PASSPHRASE, "").encode() or None
    try:
        key = read(data, passphrase)
    except TypeError:  # because a passphrase is missing, or one too many
        state = "not encrypted, but" if passphrase else "encrypted;"
        wanted = "is set; unset it" if passphrase else "must hold its passphrase"
        raise ConfigError(f"--key: {file} is {state} {PASSPHRASE} {wanted}") from None
    except UnsupportedAlgorithm:
        raise ConfigError(
            f"--key: {file} is encrypted in a way that needs bcrypt; pip install "
            "'face-factory[sign]'"
        ) from None
    except ValueError:
        raise ConfigError(
            f"--key: {file} is no private key, or {PASSPHRASE} is not its passphrase; "
            "`ssh-keygen -t ed25519 -f FILE` makes one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"--key: {file} is not an Ed25519 key; `ssh-keygen -t ed25519` makes one")
    return key


def read_signers(file: Path) -> dict[bytes, str]:
    """Names by public key of 32 bytes, from a .pub file or OpenSSH's file of allowed signers.

    Raises ConfigError for a line that is not understood, and where there is no key at all.
    """
    signers = {}
    for number, line in _lines(_content("--signer", file)):
        found = PUBLIC_KEY.match(line)
        options = found["options"].strip() if found else ""
        names = found["names"] or "" if found else ""
        if found is None or not OPTIONS.fullmatch(options) or not NAMES.fullmatch(names):
            raise ConfigError(
                f"--signer: {file} line {number} is not a public {KIND} key or an allowed signer "
                "without further limits; want those, or check by ssh-keygen -Y verify"
            )
        try:
            kind, public_key = _unpacked(base64.b64decode(found["key"]), 2)
        except ValueError:
            kind, public_key = b"", b""
        if kind != KIND.encode() or len(public_key) != 32:
            raise ConfigError(f"--signer: {file} line {number} holds a key that is cut; copy it")
        signers[public_key] = names
    if not signers:
        raise ConfigError(f"--signer: {file} holds no key; want a .pub file or allowed signers")
    return signers


def _refuse_open(file: Path) -> None:
    """Raise ConfigError for a private key of this user that others can read, as ssh does."""
    status = file.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise ConfigError(
            f"--key: {file} may be read by others than its owner (mode "
            f"{status.st_mode & 0o777:04o}); chmod 600 it"
        )


def _is_valid(signature: Signature, message: bytes) -> bool:
    _need_library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public_key = Ed25519PublicKey.from_public_bytes(signature.public_key)
        public_key.verify(signature.raw, signed_bytes(message))
    except InvalidSignature:
        return False
    return True


def _need_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"cryptography is not installed ({error}); pip install 'face-factory[sign]'"
        ) from None


def _content(option: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: {file} cannot be read ({error.strerror})") from None


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers."""
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _ssh_key(public_key: bytes) -> bytes:
    return _packed(KIND, public_key)


def _packed(*values: str | bytes) -> bytes:
    """Strings as SSH writes them, each after its length."""
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join(struct.pack(">I", len(value)) + value for value in encoded)


def _unpacked(data: bytes, count: int) -> list[bytes]:
    """Inverse of `_packed`; raises ValueError where there are more or fewer strings."""
    values = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if end > len(data):
            break
        values.append(data[4:end])
        data = data[end:]
    if data or len(values) != count:
        raise ValueError(f"holds {len(values)} strings, not {count}")
    return values
