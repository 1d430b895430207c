"""Content Credentials of a release: a C2PA manifest over SHA256SUMS, in a file beside it.

One manifest for the release and none in its images, where it would be larger than a face (12 KB).
SHA256SUMS.c2pa says which factory made the release and of which digital source type its images are,
signed by a key with certificates; `c2pa.Reader("text/plain", SHA256SUMS, SHA256SUMS.c2pa)` checks
it. It holds a new identifier each time, so two are never equal.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory import __version__
from factory.errors import ConfigError, Conflict, PlanError
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shards.marks import FACTORY, VOCABULARY, Mark
from factory.shards.signature import read_private_key
from factory.shots.plan import Plan
from factory.store import Store

FORMAT = "text/plain"
"""Of SHA256SUMS; c2pa hashes all bytes of a file in which it can embed nothing."""


def sign_credentials(store: Store, key_file: Path, certificates: Path) -> None:
    """Write SHA256SUMS.c2pa by an Ed25519 key; `certificates` is its chain as PEM, its own first.

    Raises ConfigError for a key or chain that cannot be used, Conflict where the file is there.
    """
    key, library = read_private_key(key_file), _library()
    chain = _chain(certificates, key.public_key().public_bytes_raw())
    if store.exists(layout.CREDENTIALS):
        raise Conflict(
            f"{store.url}/{layout.CREDENTIALS}: is there already; remove it to sign anew"
        )
    plan = read_plan(store)
    if plan is None:
        raise PlanError(f"{store.url}: has no plan.json; want a sealed release")
    signed = _manifest(library, plan, store.get(layout.SUMS), key.sign, chain)
    store.put_once(layout.CREDENTIALS, signed)


def description(plan: Plan) -> dict[str, Any]:
    """What the manifest says: the release, the factory, and what its images are."""
    mark = Mark.of(plan.request)
    made = {"action": "c2pa.created", "digitalSourceType": VOCABULARY + mark.source_type}
    if mark.system:
        made["description"] = mark.system
    return {
        "title": " ".join(plan.request.dataset_and_version),
        "claim_generator_info": [{"name": FACTORY, "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }


def _manifest(
    library: Any, plan: Plan, sums: bytes, sign: Callable[[bytes], bytes], chain: str
) -> bytes:
    try:
        signer = library.Signer.from_callback(sign, library.C2paSigningAlg.ED25519, chain)
        builder = library.Builder(json.dumps(description(plan), allow_nan=False))
        builder.set_no_embed()
        return bytes(builder.sign(signer, FORMAT, io.BytesIO(sums), io.BytesIO()))
    except library.C2paError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--certificates: C2PA does not accept them ({reason})") from None


def _chain(file: Path, public_key: bytes) -> str:
    """Certificates as PEM, of which the first must be of the key."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        content = file.read_bytes()
        own = x509.load_pem_x509_certificates(content)[0].public_key()
    except OSError as error:
        raise ConfigError(f"--certificates: {file} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ConfigError(
            f"--certificates: {file} holds no certificates; want PEM, that of the key first"
        ) from None
    if not isinstance(own, Ed25519PublicKey) or own.public_bytes_raw() != public_key:
        raise ConfigError(f"--certificates: the first of {file} is not that of --key; want it so")
    return content.decode()


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise ConfigError(
            f"c2pa is not installed ({error}); pip install 'face-factory[c2pa]'"
        ) from None
    return c2pa
