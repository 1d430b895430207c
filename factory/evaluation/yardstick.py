"""The yardstick of an audit: how near real strangers are, and how often its judge sees a person.

Both come from the source itself. A person whom it names twice would pass for two strangers who look
exactly alike, and loosen the limit of leaks until nobody is found; such labels are found first and
count as one person. How often a known person is seen (the power) is the fraction of pairs of one
person's images above the limit, the mean over people, with Wilson's interval (Wilson 1927, JASA 22,
p. 209): pairs of one person depend on each other, and a mean over n people of values in [0, 1]
varies at most like a fraction of n, so the interval is never too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.evaluation.embeddings import RealFaces
from factory.evaluation.metrics.separability import JudgePower
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.real_people import RealPeople
from factory.quality.real_limits import EQUAL
from factory.recognition.resampling import wilson

MAX_PAIRED = 4000
"""Real images whose pairs are compared."""
DOUBLE_QUANTILE = 0.95
"""Images of two labels nearer than this fraction of one person's pairs are one person's. It makes
no judge strong: the limit falls to this quantile at the lowest, above which are 5 % of pairs."""
MAX_DOUBLE_FRACTION = 0.05
"""Of images that may be so near; where more are, the judge takes strangers for one person, and only
equal pictures are told."""
NO_PAIRS = "n/a: nobody in the source has two images, so nothing tells whom the judge would see"


@dataclass(frozen=True)
class DoubleLabel:
    """Two images of the source, by index, whose labels name one person, and their cosine."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class Yardstick:
    """A source's people in the judge's space and as hashes, each of them once."""

    judged: RealFaces
    """With the labels that the source gives."""
    people: RealPeople
    originals: RealPeople
    doubles: tuple[DoubleLabel, ...]

    @property
    def galleries(self) -> tuple[RealPeople, RealPeople]:
        """What faces of a release are compared with."""
        return self.people, self.originals


def people_of(judged: RealFaces, plain: RealFaces, mirrored: RealFaces) -> Yardstick:
    """Real people in the judge's space with their centers, and hashes of both orientations."""
    people, doubles, aliases = named_once(judged)
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.concatenate([plain.labels, mirrored.labels]),
        np.concatenate([plain.indices, mirrored.indices]),
    )
    originals = RealPeople.of(hashes, centers=False, aliases=aliases)
    return Yardstick(judged, people, originals, tuple(doubles))


def named_once(judged: RealFaces) -> tuple[RealPeople, list[DoubleLabel], dict[int, int]]:
    """People with their centers, each of them once; and the labels that name one person twice.

    The dictionary gives for a second label the lowest one of that person.
    """
    doubles: list[DoubleLabel] = []
    aliases: dict[int, int] = {}
    people = RealPeople.of(judged, centers=True)
    limit = _double_limit(own_pairs(judged), people.strangers.cosine_M)
    while found := _near_labels(people, limit):  # until nobody is left who has another name
        doubles += [double for double, _ in found]
        aliases = _joined(aliases, [pair for _, pair in found])
        people = RealPeople.of(judged, centers=True, aliases=aliases)
    return people, doubles, aliases


def own_pairs(faces: RealFaces) -> list[np.ndarray]:
    """Cosines of the pairs of each person's images; of about MAX_PAIRED images at most."""
    stride = -(-len(faces.labels) // MAX_PAIRED)
    rows = np.flatnonzero(faces.labels % stride == 0)
    rows = rows[np.argsort(faces.labels[rows], kind="stable")]
    people = np.split(rows, np.flatnonzero(np.diff(faces.labels[rows])) + 1)
    return [_pairs(np.asarray(faces.unit_ND[own])) for own in people if len(own) > 1]


def judge_power(pairs: list[np.ndarray], limit: float) -> JudgePower | NotMeasured:
    """How often a judge sees a known person: pairs of one person's images above a cosine."""
    if not pairs:
        return NotMeasured(NO_PAIRS)
    fraction = float(np.mean([(cosines > limit).mean() for cosines in pairs]))
    low, high = wilson(fraction, len(pairs))
    return JudgePower(len(pairs), sum(map(len, pairs)), fraction, low, high)


def _pairs(unit_MD: np.ndarray) -> np.ndarray:
    cosine_MM = unit_MD @ unit_MD.T
    return np.asarray(cosine_MM[np.triu_indices(len(unit_MD), 1)])


def _double_limit(pairs: list[np.ndarray], stranger_M: np.ndarray) -> float:
    """Cosine above which images of two labels are one person's."""
    cosines = np.concatenate([np.empty(0), *pairs])
    if len(cosines) * (1 - DOUBLE_QUANTILE) < 1 - 1e-9:
        return EQUAL  # because so few cannot tell a quantile
    limit = min(float(np.quantile(cosines, DOUBLE_QUANTILE, method="higher")), EQUAL)
    return limit if (stranger_M > limit).mean() <= MAX_DOUBLE_FRACTION else EQUAL


def _near_labels(people: RealPeople, limit: float) -> list[tuple[DoubleLabel, tuple[int, int]]]:
    """The nearest images of each two labels that are above the limit, and the labels."""
    found, pairs = people.strangers, dict[tuple[int, int], DoubleLabel]()
    for at in np.argsort(-found.cosine_M, kind="stable"):
        if found.cosine_M[at] <= limit:
            break
        row, other = found.rows[at], found.other_M[at]
        one, two = sorted((int(people.labels[row]), int(people.labels[other])))
        first, second = sorted((int(people.indices[row]), int(people.indices[other])))
        double = DoubleLabel(first, second, float(found.cosine_M[at]))
        pairs.setdefault((one, two), double)
    return [(double, pair) for pair, double in pairs.items()]


def _joined(aliases: dict[int, int], pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Second labels of people by the lowest one of each, after some more were found alike."""
    root = dict(aliases)

    def lowest(label: int) -> int:
        while label in root:
            label = root[label]
        return label

    for pair in pairs:
        low, high = sorted(map(lowest, pair))
        if low != high:
            root[high] = low
    return {label: lowest(label) for label in root}
