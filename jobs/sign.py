"""Sign a sealed release by a key of your own.

    python -m jobs.sign runs/releases/demo/releases/0.1.0 --key ~/.ssh/id_ed25519
    python -m jobs.verify runs/releases/demo/releases/0.1.0 --signer ~/.ssh/id_ed25519.pub

The key is an Ed25519 key of OpenSSH (ssh-keygen -t ed25519), or the same as PEM; it is read, and
written nowhere. The passphrase of an encrypted one stands in FACE_FACTORY_SIGNING_PASSPHRASE. Run
jobs.verify first: what is signed is the list of digests, and none of its files is read for it.
`ssh-keygen -Y verify -n face-factory` checks the signature without this code. With --certificates
the release gets Content Credentials too, a C2PA manifest in SHA256SUMS.c2pa.
"""

from __future__ import annotations

from pathlib import Path

from factory.errors import ConfigError
from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job


def sign(release: str, store: list[str], key: str | None, certificates: str | None) -> None:
    from factory.shards.credentials import sign_credentials
    from factory.shards.signature import sign as sign_release
    from factory.store import open_url

    if key is None:
        raise ConfigError("--key: is missing; want a private key, see python -m jobs.sign --help")
    opened, key_file = open_url(release, store), Path(key).expanduser()
    print(f"{release}: SHA256SUMS is signed by {sign_release(opened, key_file)}")
    if certificates:
        sign_credentials(opened, key_file, Path(certificates))
        print(f"{release}: SHA256SUMS.c2pa holds Content Credentials of it")


KEY = option("--key", "private Ed25519 key of OpenSSH", "FILE")
CHAIN = option("--certificates", "PEM chain of the key, its own first, for C2PA", "FILE")
OPTIONS = (KEY, CHAIN)
JOB = Job(__doc__, sign, subjects=(RELEASE_ADDRESS,), load=None, at_address=True, options=OPTIONS)

if __name__ == "__main__":
    JOB.main()
