"""The plan: everything that decides the bytes of a release, its roster, units and shots.

`request` is what was asked for (settings, weights, sources, software); the plan adds the roster's
digest and the unit table. Its hash covers only what changes bytes, never fleet, store or paths.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.config import Config, as_dict
from factory.errors import PlanError
from factory.optimization import stream_seed
from factory.records import Identity, Shot, Unit


@dataclass(frozen=True)
class Roster:
    """Who exists: identities in order of their class label, and their unit vectors [N, D]."""

    identities: list[Identity]
    unit_ND: np.ndarray

    def parquet(self) -> bytes:
        return to_parquet([asdict(identity) for identity in self.identities])

    def embeddings(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, self.unit_ND.astype(np.float32), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def read(cls, parquet: bytes, embeddings: bytes) -> Roster:
        rows = pq.read_table(io.BytesIO(parquet)).to_pylist()
        unit_ND = np.load(io.BytesIO(embeddings), allow_pickle=False)
        return cls([Identity(**row) for row in rows], unit_ND)


@dataclass(frozen=True)
class Plan:
    """plan.json: the request, the roster's digests and the units."""

    request: dict[str, Any]
    roster_sha256: dict[str, str]
    units: list[Unit]

    @property
    def hash(self) -> str:
        body = {"request": self.request, "roster": self.roster_sha256, "units": self._table()}
        return hashlib.sha256(canonical(body)).hexdigest()

    @property
    def num_shots(self) -> int:
        return sum(unit.num_shots for unit in self.units)

    def to_json(self) -> bytes:
        body = {
            "plan_hash": self.hash,
            "request": self.request,
            "roster": self.roster_sha256,
            "units": self._table(),
        }
        return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Raises PlanError when the plan does not have the hash it claims."""
        body = json.loads(data)
        plan = cls(body["request"], body["roster"], [Unit(*row) for row in body["units"]])
        if plan.hash != body["plan_hash"]:
            raise PlanError(
                "plan.json: does not match its own plan_hash; it was edited, restore it"
            )
        return plan

    def _table(self) -> list[list[int]]:
        return [[u.index, u.first_identity, u.num_identities, u.num_shots] for u in self.units]


def request(
    config: Config, weights: dict[str, str], source: dict[str, Any], max_cosine: float
) -> dict[str, Any]:
    """All that was asked for: threshold resolved, digests instead of paths, and the stack."""
    compute = {"device": _device_kind(config), "precision": config.compute.precision}
    asked = {
        "source": source,
        "weights": weights,
        "identities": as_dict(config.identities) | {"max_cosine": max_cosine},
        "plan": as_dict(config.plan),
        "sampler": as_dict(config.sampler),
        "filters": as_dict(config.filters),
        "compute": compute,
        "release": {
            "dataset": config.release.dataset,
            "version": config.release.version,
            "seed": config.release.seed,
            "allow_real": config.release.allow_real,
        },
        "factory": {"sources_sha256": sources_hash()},
        "stack": stack_fingerprint(),
    }
    return dict(json.loads(canonical(asked)))


def first_difference(wanted: Any, found: Any, key: str = "") -> str | None:
    """'a.b: X there, Y asked for' of the first field in which two requests differ, sorted."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            dotted = f"{key}.{name}" if key else name
            difference = first_difference(wanted.get(name), found.get(name), dotted)
            if difference:
                return difference
        return None
    return None if wanted == found else f"{key}: {found!r} there, {wanted!r} asked for"


def cut_units(identities: list[Identity], identities_per_unit: int) -> list[Unit]:
    """Consecutive ranges of identities; the last may be shorter."""
    units = []
    for index, first in enumerate(range(0, len(identities), identities_per_unit)):
        members = identities[first : first + identities_per_unit]
        shots = sum(member.num_shots for member in members)
        units.append(Unit(index, first, len(members), shots))
    return units


def first_round(plan: dict[str, Any], unit: Unit, roster: Roster) -> list[Shot]:
    """Shots of a unit before any top-up, in (identity, image) order, placed in batches."""
    members = roster.identities[unit.first_identity : unit.first_identity + unit.num_identities]
    wanted = [(member.index, image) for member in members for image in range(member.num_shots)]
    return place(plan, wanted, attempt=0)


def place(plan: dict[str, Any], wanted: list[tuple[int, int]], attempt: int) -> list[Shot]:
    """Shots of (identity, image) pairs at an attempt, in full batches of the planned size."""
    sampler, size = plan["sampler"], plan["plan"]["micro_batch"]
    return [
        Shot(
            key=f"{identity:06d}_{image:04d}",
            identity=identity,
            image=image,
            attempt=attempt,
            seed=stream_seed(plan["release"]["seed"], identity, image, "noise", attempt),
            sampler=sampler["kind"],
            num_steps=sampler["num_steps"],
            guidance=sampler["guidance"],
            batch=position // size,
            slot=position % size,
        )
        for position, (identity, image) in enumerate(wanted)
    ]


def sources_hash() -> str:
    """sha256 over the package's Python files: another factory may make other bytes."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(
            file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0"
        )
    return digest.hexdigest()


def stack_fingerprint() -> dict[str, str]:
    """Versions and instruction set on which the bytes depend."""
    import cv2
    import diffusers
    import faiss
    import PIL
    import torch

    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_bf16": str(torch.cpu._is_avx512_bf16_supported()),  # these decide oneDNN's kernels
        "cpu_amx": str(torch.cpu._is_amx_tile_supported()),
        "faiss": faiss.__version__,
        "opencv": cv2.__version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "pyarrow": pa.__version__,
    }


def canonical(value: Any) -> bytes:
    """The one JSON spelling of a value, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def to_parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Rows as Parquet bytes; the same rows always give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _device_kind(config: Config) -> str:
    from factory.distributed import pick_device

    return pick_device(config.compute).type
