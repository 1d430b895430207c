"""Whether all ranks read what rank 0 writes to training.out: asked before anything else is done.

A training whose ranks each write to a folder of their own node would run to its last step, and then
have no state and no checkpoint that holds the parts of all.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
from contextlib import suppress

from factory.config import Config
from factory.errors import CheckpointError, FactoryError
from factory.store import LocalStore, Store, open_store
from factory.training.distributed import first_rank_gives, gather_values, grouped, rank


def check_shared(config: Config) -> None:
    """Raise CheckpointError on all ranks alike unless every rank reads rank 0's nonce.

    Rank 0 writes a file with a random name and content into training.out, and removes it after all
    have looked. A single process writes nothing. Raises StoreError for a bucket that cannot be
    reached.
    """
    store = store_of(config)
    if not grouped():
        if not isinstance(store, LocalStore):
            store.preflight(0, 0)
        return
    name, nonce, error = f"nonce-{secrets.token_hex(8)}", secrets.token_bytes(16), ""
    if rank() == 0:
        error = _error_of_writing(store, name, nonce)
    name, nonce, error = first_rank_gives((name, nonce, error))
    host = socket.gethostname()
    found = "" if error else _error_of_reading(store, name, nonce)
    answers: list[tuple[str, str]] = gather_values((host, found))
    if rank() == 0:
        with suppress(FactoryError, OSError):  # because it may be written and not removed there
            store.delete(name)
    writer = answers[0][0]
    if error:
        raise CheckpointError(
            f"training.out: rank 0 on node {writer} cannot write to {store.url} ({error}); want a "
            "folder that all nodes see and may write to, or s3://bucket/prefix"
        )
    without = [(number, *answer) for number, answer in enumerate(answers) if answer[1]]
    if without:
        number, node, reason = without[0]
        raise CheckpointError(
            f"training.out: rank {number} on node {node} does not find in {store.url} what rank 0 "
            f"on node {writer} wrote there ({reason}; {len(without)} of {len(answers)} ranks); "
            "want one folder that all nodes see, or s3://bucket/prefix"
        )


def store_of(config: Config) -> Store:
    """training.out as a store: a folder, or an address with the options of the section store."""
    return open_store(dataclasses.replace(config.store, url=config.training.out))


def _error_of_writing(store: Store, name: str, nonce: bytes) -> str:
    try:
        store.put(name, nonce)
    except (FactoryError, OSError) as error:
        return str(error)
    return ""


def _error_of_reading(store: Store, name: str, nonce: bytes) -> str:
    """Why the nonce is not there, or ''."""
    try:
        if isinstance(store, LocalStore) and store.root.is_dir():
            os.listdir(store.root)  # because NFS looks again when a folder is opened
        return "" if store.get(name) == nonce else "it holds other bytes"
    except FileNotFoundError:
        return "no such file"
    except (FactoryError, OSError) as error:
        return str(error)
