"""What an evaluation keeps of one unit: figures and sums of its faces, and vectors of sampled ones.

Shapes: N kept faces of the unit in the order of its tar, K identities among them in the order of
their first faces, D an embedding. S, P and Q faces are in the samples for set metrics, for pairs
and for pairs with photographs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from factory.evaluation.consistency import ClassFigures
from factory.evaluation.edit_metrics import EditSums
from factory.evaluation.leakage import UnitAudit
from factory.evaluation.tallies import Moments
from factory.records import Shot

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 1
"""Of the files; it is part of the fingerprint of a measurement."""
FACTS = "facts"


@dataclass(frozen=True)
class UnitFaces:
    """Who is in a unit, and which of its faces are sampled."""

    identity_N: np.ndarray
    class_N: np.ndarray
    """Number 0..K-1 of each face's identity."""
    identity_K: np.ndarray
    sample_S: np.ndarray
    """Rows of faces in the sample for set metrics: CMMD, precision, recall, NNCCS."""
    pair_P: np.ndarray
    """Rows of faces whose pairs are compared: whole identities."""
    photo_Q: np.ndarray
    """The same among drawn real people, for pairs with photographs."""
    hash_N32: np.ndarray
    """Perceptual hashes, packed bits."""
    twin_N: np.ndarray
    """Whether another face of the identity has nearly the same hash."""


@dataclass(frozen=True)
class UnitScores:
    """Scores of kept faces by identity, in short."""

    own_cosine_K: np.ndarray
    """Mean cosine of each identity's faces to it."""
    count_K: np.ndarray
    deviation_K: dict[str, np.ndarray]
    """D_k of each score that was measured of all faces."""
    moments: dict[str, Moments]
    """Of such a score over all faces, D = 1."""


@dataclass(frozen=True)
class UnitSpace:
    """A unit in the space of one recognizer."""

    figures: ClassFigures
    moments: Moments
    sample_SD: np.ndarray
    pair_PD: np.ndarray
    photo_QD: np.ndarray


@dataclass(frozen=True)
class UnitRecord:
    """All of that, of one unit; without kept faces there is nothing but rejects."""

    unit: int
    keys: list[str]
    rejects: list[tuple[str, dict[str, Any]]]
    """(reason, shot) of the first rejected faces of each reason, in their order."""
    edits: dict[str, EditSums] = field(default_factory=dict)
    shown_edits: dict[str, list[int]] = field(default_factory=dict)
    """By kind of edit, rows of the first faces."""
    faces: UnitFaces | None = None
    scores: UnitScores | None = None
    spaces: dict[str, UnitSpace] = field(default_factory=dict)
    """By recognizer."""
    features_SF: dict[str, np.ndarray] = field(default_factory=dict)
    """Of the sampled faces, by network."""
    audit: UnitAudit | None = None

    def to_bytes(self) -> bytes:
        """A safetensors file; the same record always gives the same bytes."""
        from safetensors.numpy import save

        facts = {
            "unit": self.unit,
            "keys": self.keys,
            "rejects": self.rejects,
            "edits": {name: asdict(sums) for name, sums in self.edits.items()},
            "shown_edits": self.shown_edits,
        }
        arrays = {FACTS: np.frombuffer(json.dumps(facts, allow_nan=False).encode(), np.uint8)}
        if self.faces is not None:
            arrays |= _arrays("faces", self.faces)
        if self.audit is not None:
            arrays |= _arrays("audit", self.audit)
        if self.scores is not None:
            arrays["scores/own_cosine_K"] = self.scores.own_cosine_K
            arrays["scores/count_K"] = self.scores.count_K
            for name, deviation_K in self.scores.deviation_K.items():
                arrays[f"deviation/{name}"] = deviation_K
                arrays |= _moments(f"score_moments/{name}", self.scores.moments[name])
        for name, space in self.spaces.items():
            arrays |= _arrays(f"figures/{name}", space.figures)
            arrays |= _moments(f"moments/{name}", space.moments)
            for kind in ("sample_SD", "pair_PD", "photo_QD"):
                arrays[f"vectors/{name}/{kind}"] = getattr(space, kind)
        arrays |= {f"features/{name}": some for name, some in self.features_SF.items()}
        return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))

    @classmethod
    def from_bytes(cls, data: bytes) -> UnitRecord:
        from safetensors.numpy import load

        arrays = load(data)
        facts = json.loads(arrays[FACTS].tobytes())
        edits = {
            name: EditSums(sums["count"], {n: (c, s) for n, (c, s) in sums["scores"].items()})
            for name, sums in facts["edits"].items()
        }
        has_faces, has_audit = "faces/class_N" in arrays, "audit/face_N" in arrays
        return cls(
            unit=facts["unit"],
            keys=facts["keys"],
            rejects=[(reason, shot) for reason, shot in facts["rejects"]],
            edits=edits,
            shown_edits=facts["shown_edits"],
            faces=_read(UnitFaces, "faces", arrays) if has_faces else None,
            scores=_read_scores(arrays) if "scores/count_K" in arrays else None,
            spaces={name: _read_space(name, arrays) for name in _names("figures", arrays)},
            features_SF={n: arrays[f"features/{n}"] for n in _names("features", arrays)},
            audit=_read(UnitAudit, "audit", arrays) if has_audit else None,
        )

    def rejected_shots(self) -> list[tuple[str, Shot]]:
        """(reason, shot) of its rejects."""
        return [(reason, Shot(**shot)) for reason, shot in self.rejects]


Group = TypeVar("Group", bound="DataclassInstance")
Arrays = dict[str, np.ndarray]


def _arrays(prefix: str, group: DataclassInstance) -> Arrays:
    return {f"{prefix}/{item.name}": getattr(group, item.name) for item in fields(group)}


def _read(kind: type[Group], prefix: str, arrays: Arrays) -> Group:
    return kind(**{item.name: arrays[f"{prefix}/{item.name}"] for item in fields(kind)})


def _names(prefix: str, arrays: Arrays) -> list[str]:
    """What stands after `prefix`, in the order of the alphabet."""
    return sorted({name.split("/")[1] for name in arrays if name.startswith(f"{prefix}/")})


def _moments(prefix: str, moments: Moments) -> Arrays:
    """Half of the scatter, because it is symmetric."""
    return {
        f"{prefix}/count": np.array([moments.count]),
        f"{prefix}/mean_D": moments.mean_D,
        f"{prefix}/upper": moments.scatter_DD[np.triu_indices(len(moments.mean_D))],
    }


def _read_moments(prefix: str, arrays: Arrays) -> Moments:
    mean_D = arrays[f"{prefix}/mean_D"]
    scatter_DD, upper = np.zeros((len(mean_D),) * 2), np.triu_indices(len(mean_D))
    scatter_DD[upper] = arrays[f"{prefix}/upper"]
    scatter_DD.T[upper] = arrays[f"{prefix}/upper"]
    return Moments(int(arrays[f"{prefix}/count"][0]), mean_D, scatter_DD)


def _read_scores(arrays: Arrays) -> UnitScores:
    names = _names("deviation", arrays)
    return UnitScores(
        own_cosine_K=arrays["scores/own_cosine_K"],
        count_K=arrays["scores/count_K"],
        deviation_K={name: arrays[f"deviation/{name}"] for name in names},
        moments={name: _read_moments(f"score_moments/{name}", arrays) for name in names},
    )


def _read_space(name: str, arrays: Arrays) -> UnitSpace:
    vectors = (arrays[f"vectors/{name}/{kind}"] for kind in ("sample_SD", "pair_PD", "photo_QD"))
    figures = _read(ClassFigures, f"figures/{name}", arrays)
    return UnitSpace(figures, _read_moments(f"moments/{name}", arrays), *vectors)
