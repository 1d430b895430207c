"""Groups of people: learned from labels of real ones, planned by identities.quotas.

A group is read off an embedding by least squares on one-hot labels of real class centers, because
it must be known before anybody is drawn. How often that is right is measured on people left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from factory.config import IdentitiesConfig
from factory.errors import PlanError
from factory.sources import FaceSource
from factory.sources.base import iterate_faces
from factory.tables import Table, UserFile, nfc

RIDGE = 1e-2
"""Fraction of the mean squared singular value added to each, so that few people suffice."""
PIXELS_MEAN = 127.5
"""An .onnx classifier gets (RGB - 127.5) / 127.5, [1, 3, S, S], and gives a score a class."""


class Groups:
    """A linear classifier of unit vectors [N, D], and the fraction of each group that is wanted."""

    def __init__(self, unit_ND: np.ndarray, labels: list[str], quotas: dict[str, float]) -> None:
        self.names = sorted(set(labels))
        unknown = sorted(set(quotas) - set(self.names))
        if unknown:
            raise PlanError(
                f"identities.quotas.{unknown[0]}: nobody in the source is of that group; want some "
                f"of {', '.join(self.names)}"
            )
        wanted_N = np.array([self.names.index(label) for label in labels])
        self.accuracy = _left_out_accuracy(unit_ND, wanted_N, len(self.names))
        self._mean_D = unit_ND.astype(np.float64).mean(0)
        self._weight_GD = _fit(unit_ND - self._mean_D, wanted_N, len(self.names))
        self._prior_G = np.bincount(wanted_N) / len(wanted_N)
        self._fractions_G = np.array([quotas.get(name, 0.0) for name in self.names])
        self._given_G, self._order = np.zeros(len(self.names)), list[int]()

    def predict(self, unit_MD: np.ndarray) -> np.ndarray:
        """Group number of each vector, int64 [M]; the same in any block."""
        centered_MD = unit_MD.astype(np.float64) - self._mean_D
        score_MG = [(centered_MD * weight_D).sum(1) for weight_D in self._weight_GD]
        return np.asarray((np.stack(score_MG, axis=1) + self._prior_G).argmax(1))

    def counts(self, num_identities: int) -> np.ndarray:
        """How many identities of a roster are of each group, int64 [G]."""
        wanted = self.wanted(np.arange(num_identities))
        return np.bincount(wanted, minlength=len(self.names))

    def wanted(self, identities_M: np.ndarray) -> np.ndarray:
        """Group number that the quotas give each identity, int64 [M].

        It is that of the group furthest behind its fraction, so every prefix of a roster is within
        two identities of the fractions.
        """
        while len(self._order) <= identities_M.max(initial=-1):
            behind_G = self._fractions_G * (len(self._order) + 1) - self._given_G
            self._order.append(int(behind_G.argmax()))
            self._given_G[self._order[-1]] += 1
        return np.array([self._order[i] for i in identities_M], np.int64)


def read_labels(config: IdentitiesConfig, source: FaceSource) -> dict[str, str]:
    """Groups of the source's people by name, from a CSV or by an .onnx classifier.

    Raises PlanError for a file without the column, or with too few people of the source.
    """
    path = Path(str(config.attributes))
    if not path.is_file():
        raise PlanError(f"identities.attributes: no such file {str(path)!r}; want .csv or .onnx")
    if path.suffix == ".onnx":
        return _classified(path, source)
    wanted = "a CSV of name and groups, in UTF-8"
    table = Table(UserFile("identities.attributes", str(path), wanted, PlanError))
    if config.attribute not in table.columns[1:]:
        raise PlanError(
            f"identities.attribute: {path} has no column {config.attribute!r}; want one of "
            f"{', '.join(table.columns[1:])}"
        )
    rows = table.keyed(table.columns[0])
    named = {name: rows.get(nfc(name), {}).get(config.attribute) for name in source.names}
    labels = {name: group for name, group in named.items() if group}
    if len(set(labels.values())) < 2:
        raise PlanError(
            f"identities.attributes: {path} gives {len(labels)} of {len(source.names)} people of "
            "the source a group, and fewer than two groups; want the source's identity names in "
            "its first column"
        )
    named_after = {name for name in source.names if not name.isdigit()} & set(labels.values())
    if named_after:
        raise PlanError(
            f"identities.attribute: {config.attribute!r} of {path} has people's names in it "
            f"({len(named_after)} groups); want a column of groups, which a release tells of"
        )
    return labels


def _classified(path: Path, source: FaceSource) -> dict[str, str]:
    """The most frequent class of each person's images, as a number."""
    import cv2

    session = open_classifier(path)
    entry = session.get_inputs()[0]
    side = entry.shape[-1] if isinstance(entry.shape[-1], int) else None
    votes: dict[int, list[int]] = {}
    for face in iterate_faces(source, 1.0, []):
        image = cv2.resize(face.image_HWC, (side, side)) if side else face.image_HWC
        x_1CHW = ((image.astype(np.float32) - PIXELS_MEAN) / PIXELS_MEAN).transpose(2, 0, 1)[None]
        scores = session.run(None, {entry.name: x_1CHW})[0]
        votes.setdefault(face.label, []).append(int(np.asarray(scores).ravel().argmax()))
    return {
        source.names[label]: str(np.bincount(classes).argmax()) for label, classes in votes.items()
    }


def open_classifier(path: Path) -> Any:
    """A session of one thread (threads decide bits); raises PlanError for any other file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise PlanError(
            f"identities.attributes: onnxruntime is not installed ({error}); "
            "pip install 'face-factory[eval]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # because onnxruntime has errors of its own
        reason = str(error).strip().splitlines()[0]
        raise PlanError(f"identities.attributes: {path} cannot be opened ({reason})") from None
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or shape[1] != 3:
        raise PlanError(
            f"identities.attributes: {path} takes {shape}; want a classifier of images [1, 3, S, S]"
        )
    return session


def _fit(centered_ND: np.ndarray, wanted_N: np.ndarray, num_groups: int) -> np.ndarray:
    """Ridge regression of one-hot labels minus their mean: weights [G, D]."""
    target_NG = np.eye(num_groups)[wanted_N]
    target_NG -= target_NG.mean(0)
    with threadpool_limits(1):  # because BLAS sums in another order with more threads
        gram_DD = centered_ND.T @ centered_ND
        ridge = RIDGE * np.trace(gram_DD) / len(gram_DD)
        damped_DD = gram_DD + ridge * np.eye(len(gram_DD))
        return np.asarray(np.linalg.solve(damped_DD, centered_ND.T @ target_NG).T)


def _left_out_accuracy(unit_ND: np.ndarray, wanted_N: np.ndarray, num_groups: int) -> float:
    """Fraction of people whose group is right when learned from the four fifths without them."""
    right = 0
    for fold in range(5):
        out_N = np.arange(len(wanted_N)) % 5 == fold
        if not out_N.any() or out_N.all():
            continue
        mean_D = unit_ND[~out_N].astype(np.float64).mean(0)
        weight_GD = _fit(unit_ND[~out_N] - mean_D, wanted_N[~out_N], num_groups)
        prior_G = np.bincount(wanted_N[~out_N], minlength=num_groups) / (~out_N).sum()
        predicted = ((unit_ND[out_N] - mean_D) @ weight_GD.T + prior_G).argmax(1)
        right += int((predicted == wanted_N[out_N]).sum())
    return right / len(wanted_N)
