"""The networks of a release as their checkpoint.json files describe them, checked before work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from factory import checkpoint
from factory.errors import CheckpointError


@dataclass
class Networks:
    """What was found of the networks that a config names; filled while they are checked."""

    weights: dict[str, str] = field(default_factory=dict)
    """sha256 by what a network is for, as a plan keeps it."""
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    """checkpoint.json of those that are ours."""

    def read(self, kind: str, name: str, key: str) -> dict[str, Any]:
        """Read the metadata of a checkpoint of ours and check the digest of its weights.

        `key` is the config key that named it. Raises CheckpointError.
        """
        metadata = checkpoint.read_metadata(name, kind, key)
        refuse_altered(name, metadata["sha256"], key)
        self.metadata[kind], self.weights[kind] = metadata, metadata["sha256"]
        return metadata

    @property
    def embedding_dim(self) -> int:
        """Values of an embedding of the conditioning recognizer."""
        return int(self.metadata["recognizer"]["config"]["embedding_dim"])

    def check_lineage(self, trained: str, lineage: dict[str, Any], kinds: tuple[str, ...]) -> None:
        """Raise CheckpointError unless a network was trained with the others that are named."""
        there = {kind: self.weights[kind] for kind in kinds if kind in self.weights}
        alike = {
            kind: checkpoint.stands_for(self.metadata[kind])
            for kind in there
            if kind in self.metadata
        }
        checkpoint.refuse_other(trained, lineage, there, alike)


def refuse_altered(name: str, sha256: str, key: str) -> None:
    """Raise CheckpointError when weights are not what their checkpoint.json says."""
    file = checkpoint.folder(name) / checkpoint.WEIGHTS
    actual = checkpoint.file_sha256(file)
    if actual != sha256:
        raise CheckpointError(
            f"{key}: {file} has sha256 {actual[:12]}, its checkpoint.json says {sha256[:12]}; "
            "restore the file or train again"
        )
