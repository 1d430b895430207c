"""What a generator is asked in an attack, in order: draws at people, draws at nobody, losses.

A score is of a real image [N], and larger for one that was rather learned from.
"""

from __future__ import annotations

import numpy as np

from factory.config import Config
from factory.evaluation.attack_draws import AttackedGenerator
from factory.evaluation.attack_scores import (
    AnybodysDraws,
    Gallery,
    OwnDraws,
    standardized_mean,
)
from factory.evaluation.metrics.attack import Nobody
from factory.quality.real_limits import unit_means
from factory.records import Log
from factory.seeds import stream_seed
from factory.training.distributed import pick_device


class Trial:
    """What the generator is asked, in order: draws at people, draws at nobody, losses."""

    def __init__(
        self,
        config: Config,
        gallery: Gallery,
        unit_ND: np.ndarray,
        virtual_VD: np.ndarray | None,
        by_person: bool,
        log: Log,
    ) -> None:
        """`by_person`: real images are denoised with their person's center, not their own vector.

        Both are of the conditioning recognizer's unit vectors `unit_ND`.
        """
        people = gallery.people
        self._config, self._gallery, self._log = config, gallery, log
        self._by_person = by_person
        self._centers = range(people.num_people)
        self._images = range(people.num_people, people.num_people + len(unit_ND))
        self._nobody = self._images.stop
        virtual_VD = np.empty((0, unit_ND.shape[1])) if virtual_VD is None else virtual_VD
        self._virtual = range(self._nobody + 1, self._nobody + 1 + len(virtual_VD))
        nobody = np.zeros((1, unit_ND.shape[1]))
        center_PD = unit_means(unit_ND, people.person_N)
        conditions = np.concatenate([center_PD, unit_ND, nobody, virtual_VD]).astype(np.float32)
        self._generator = AttackedGenerator(config, conditions, pick_device(config.compute))
        self.own: list[OwnDraws] = []
        self.free: dict[Nobody, AnybodysDraws] = {}

    def scores(self) -> dict[str, np.ndarray]:
        """Scores of all images [N] by name."""
        return {**self._at_people(), **self._at_nobody(), **self._losses()}

    def _at_people(self) -> dict[str, np.ndarray]:
        people, scores = self._gallery.people, dict[str, np.ndarray]()
        count = self._config.attack.num_draws
        for where in ("person's center", "single images"):
            pairs = [(person, i) for person in self._centers for i in range(count)]
            rows = [person for person, _ in pairs]
            if where == "single images":
                own = [people.images_of(person) for person in self._centers]
                rows = [self._images[int(own[p][i % len(own[p])])] for p, i in pairs]
            seeds = [self._seed(where, i) for _, i in pairs]
            nearest = OwnDraws(self._gallery)
            for images, part in self._generator.draws(rows, seeds, where, self._log):
                nearest.add(images, np.array([person for person, _ in pairs[part]]))
            self.own.append(nearest)
            scores[f"draws at {where}: nearest cosine"] = nearest.cosine_N
            scores[f"draws at {where}: relative pixel distance"] = nearest.pixels_N
            scores[f"draws at {where}: perceptual hash"] = nearest.hash_N
        return scores

    def _at_nobody(self) -> dict[str, np.ndarray]:
        count, scores = self._config.attack.num_free_draws, dict[str, np.ndarray]()
        rows_of: dict[Nobody, list[int]] = {"nobody": [self._nobody] * count}
        if len(self._virtual):
            chosen = np.arange(count) % len(self._virtual)
            rows_of["virtual people"] = [self._virtual[row] for row in chosen.tolist()]
        for where, rows in rows_of.items():
            seeds = [self._seed(where, i) for i in range(count)]
            nearest = AnybodysDraws(self._gallery)
            for images, _ in self._generator.draws(rows, seeds, where, self._log):
                nearest.add(images)
            self.free[where] = nearest
            scores[f"draws at {where}: nearest cosine"] = nearest.cosine_N
        return scores

    def _losses(self) -> dict[str, np.ndarray]:
        people, generator = self._gallery.people, self._generator
        images = people.images_NHWC
        own_LN = generator.losses(images, self._own_conditions(), "own condition", self._log)
        no_LN = generator.losses(images, [self._nobody] * len(images), "no condition", self._log)
        levels = zip(self._config.attack.noise_levels, own_LN, strict=True)
        return {
            **{f"denoising loss at t/T = {level:g}": -loss_N for level, loss_N in levels},
            "denoising loss, all levels": -standardized_mean(own_LN),
            "denoising loss without a condition": -standardized_mean(no_LN),
        }

    def _own_conditions(self) -> list[int]:
        """What each image was, or would have been, learned with."""
        person_N = self._gallery.people.person_N
        return [int(person) for person in person_N] if self._by_person else list(self._images)

    def _seed(self, where: str, number: int) -> int:
        return stream_seed("attack draws", self._config.attack.seed, where, number)
