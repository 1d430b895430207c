"""People who are mixes of two others: who their parents are, and where they lie (METHODS 5).

A mix is drawn from the predictions for its parents (`diffusion/guidance.py:guided`) and is a class
of its own (ScoreMix, Rahimi & Marcel 2025; AugGen, Rahimi et al. 2025, mixes the conditions
instead). Its own embedding stands for it in the gate and in filters, and is ours:

    m = normalize(w*a + (1-w)*b),   cos(m, a) = (w + (1-w)*c) / sqrt(w^2 + (1-w)^2 + 2*w*(1-w)*c),

a and b the parents and c their cosine. For w = 1/2 both cosines are sqrt((1+c)/2), so a gate with
limit L needs c < 2*L^2 - 1.

Shapes: M candidates, P possible parents, K others that are looked at, D embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import Config, MixConfig
from factory.errors import PlanError
from factory.seeds import stream_seed

FARTHEST_OF = 64
"""People drawn at random, of whom the farthest is a second parent (identities.mix.pairs=far)."""
LEAST_SHARE = 4
"""They are at most a quarter of all, so that few people have more pairs than one each."""
NUM_TRIED = 1000
"""Pairs of parents that are looked at before the gate is."""
NO_LENGTH = 1e-6
"""Length of a sum below which parents are opposite, and have no mix."""


class MixProposal:
    """Mixes of people who are in a release: a proposal for the gate.

    The parents of an (identity, attempt) are always the same, in whichever batch they are drawn.
    """

    name = "mix"

    def __init__(self, unit_PD: np.ndarray, mix: MixConfig, seed: int) -> None:
        """`unit_PD` are the possible parents, at least two."""
        assert len(unit_PD) >= 2, "the config was checked"
        self._unit_PD, self._mix, self._seed = unit_PD, mix, seed

    def parents(self, identities_M: np.ndarray, attempts_M: np.ndarray) -> np.ndarray:
        """Rows of the two parents of each candidate, int64 [M, 2]; never one person twice."""
        pairs = zip(identities_M.tolist(), attempts_M.tolist(), strict=True)
        return np.array([self._pair(*pair) for pair in pairs], np.int64).reshape(-1, 2)

    def draw(self, identities_M: np.ndarray, attempts_M: np.ndarray) -> np.ndarray:
        parent_M2 = self.parents(identities_M, attempts_M)
        first_MD, second_MD = self._unit_PD[parent_M2[:, 0]], self._unit_PD[parent_M2[:, 1]]
        return mixed(first_MD, second_MD, self._mix.weight)

    def _pair(self, identity: int, attempt: int) -> tuple[int, int]:
        key = stream_seed(self._seed, "mix", identity, attempt)
        rng = np.random.Generator(np.random.Philox(key))
        first = int(rng.integers(len(self._unit_PD)))
        count = min(FARTHEST_OF, max(1, len(self._unit_PD) // LEAST_SHARE))
        count = count if self._mix.pairs == "far" else 1
        other_K = rng.integers(len(self._unit_PD) - 1, size=count)
        other_K += other_K >= first  # because nobody is mixed with themselves
        if count == 1:
            return first, int(other_K[0])
        others_KD = self._unit_PD[other_K].astype(np.float64)
        cosine_K = (others_KD * self._unit_PD[first]).sum(1)  # in an order that no batch changes
        return first, int(other_K[cosine_K.argmin()])


def mixed(first_MD: np.ndarray, second_MD: np.ndarray, weight: float) -> np.ndarray:
    """normalize(w*a + (1-w)*b) [M, D], float32; opposite parents give the first, whom gates refuse.

    Computed in float64, each row for itself.
    """
    sum_MD = weight * first_MD.astype(np.float64) + (1 - weight) * second_MD.astype(np.float64)
    length_M1 = np.sqrt((sum_MD * sum_MD).sum(1, keepdims=True))
    unit_MD = sum_MD / np.maximum(length_M1, NO_LENGTH)
    return np.where(length_M1 > NO_LENGTH, unit_MD, first_MD).astype(np.float32)


def parent_cosine(cosine_M: np.ndarray, weight: float) -> np.ndarray:
    """Cosine [M] of a mix to its nearer parent, from the cosine of its parents (above -1)."""
    large, small = max(weight, 1 - weight), min(weight, 1 - weight)
    squared_M = large * large + small * small + 2 * large * small * cosine_M
    return np.asarray((large + small * cosine_M) / np.sqrt(squared_M))


def largest_pair_cosine(weight: float, limit: float) -> float | None:
    """The cosine that parents must stay below, so that their mix is below `limit` to both.

    With u = max(w, 1-w) and v = min(w, 1-w) the larger root of `parent_cosine` = L:
    c = (-u*(1-L^2) + L*sqrt(v^2 - u^2*(1-L^2))) / v, which is 2*L^2 - 1 for w = 1/2. None where no
    parents do.
    """
    large, small = max(weight, 1 - weight), min(weight, 1 - weight)
    room = small * small - large * large * (1 - limit * limit)
    if limit <= 0 or room <= 0:
        return None
    return (-large * (1 - limit * limit) + limit * math.sqrt(room)) / small


@dataclass(frozen=True)
class Mixes:
    """The mixes of a release: the last ones of its virtual people."""

    settings: MixConfig
    seed: int
    """That of the release."""
    num_plain: int
    """People who are no mixes, of whom each may be a parent."""
    count: int
    max_cosine: float
    """The gate's limit."""
    num_earlier: int = 0
    """Identities of earlier releases, after which draws are numbered."""

    @classmethod
    def of(cls, config: Config, max_cosine: float, num_earlier: int) -> Mixes:
        """Those that a config asks for."""
        people = config.plan.num_admitted(config.identities.num_virtual)
        settings, count = config.identities.mix, config.identities.mix.count(people)
        seed = config.release.seed
        return cls(settings, seed, people - count, count, max_cosine, num_earlier)

    def proposal(self, unit_PD: np.ndarray) -> MixProposal:
        """Candidates for the gate; raises PlanError where no pair that is tried will do."""
        proposal, tried = MixProposal(unit_PD, self.settings, self.seed), np.arange(NUM_TRIED)
        parent_M2 = proposal.parents(self.num_earlier + tried, np.zeros_like(tried))
        first_MD, second_MD = (unit_PD[row_M].astype(np.float64) for row_M in parent_M2.T)
        cosine_M = np.maximum((first_MD * second_MD).sum(1), -1 + 1e-9)
        least = float(parent_cosine(cosine_M, self.settings.weight).min())
        if least >= self.max_cosine:
            raise PlanError(_too_near(self.settings, self.max_cosine, least))
        return proposal

    def columns(
        self, proposal: str, unit_ND: np.ndarray, attempts_N: list[int], first_identity: int
    ) -> dict[str, Any]:
        """Columns of a roster by name: proposals and, where there are mixes, their parents.

        `unit_ND` and `attempts_N` are of all virtual people, others are of this `proposal`.
        """
        if not self.count:
            return {"proposal": proposal}
        drawn = MixProposal(unit_ND[: self.num_plain], self.settings, self.seed)
        later_M = self.num_plain + np.arange(self.count)
        attempts_M = np.asarray(attempts_N[self.num_plain :], np.int64)
        parent_N2 = np.full((len(unit_ND), 2), -1)
        parent_N2[later_M] = first_identity + drawn.parents(self.num_earlier + later_M, attempts_M)
        weight_N = np.ones(len(unit_ND))
        weight_N[later_M] = self.settings.weight
        return {
            "proposal": [proposal] * self.num_plain + [MixProposal.name] * self.count,
            "first_parent": parent_N2[:, 0],
            "second_parent": parent_N2[:, 1],
            "mix_weight": weight_N,
        }


def _too_near(mix: MixConfig, max_cosine: float, least: float) -> str:
    needed = largest_pair_cosine(mix.weight, max_cosine)
    pairs = "no pair will do" if needed is None else f"a pair must be below {needed:.3f}"
    return (
        f"identities.mix.fraction: got {mix.fraction:g} with a gate of {max_cosine:.3f}, but of "
        f"{NUM_TRIED} pairs of parents the best mix has a cosine of {least:.3f} to one of them "
        f"(with weight {mix.weight:g} {pairs}); want a larger identities.max_cosine, "
        "identities.mix.pairs=far, or fraction 0"
    )
