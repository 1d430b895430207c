"""NearReal: which faces, and which mean faces, the audit's judge would take for somebody real.

It looks at what the audit will look at, pixels that were encoded and decoded, and compares by the
limits that the plan has from the audit (quality/real_limits.py, METHODS 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from factory.config import Config
from factory.errors import IntegrityError
from factory.identities.gallery import Gallery
from factory.quality.real_limits import is_leak, unit_means
from factory.recognition.embed import Embedder
from factory.recognition.external import open_embedder
from factory.recognition.judge import KEY, judge_of
from factory.records import Shot
from factory.shards.private_files import read_spared
from factory.shards.writer import Encoding
from factory.shots.plan import Plan
from factory.shots.request import SparedPeople
from factory.sources.decoding import decode_image
from factory.store import Store
from factory.synthesis.scoring import EmbeddedBatch


class NearReal:
    """A judge with the real people that it keeps out of a release."""

    def __init__(
        self, judge: Embedder, encoding: Encoding, limits: SparedPeople, unit_GD: np.ndarray
    ) -> None:
        """`unit_GD` are vectors of all images and class centers of the real people."""
        self._judge, self._encoding, self._limits = judge, encoding, limits
        self._gallery = Gallery(unit_GD.shape[1])
        self._gallery.add(unit_GD)

    @classmethod
    def open(
        cls, config: Config, release: Store, plan: Plan, device: torch.device
    ) -> NearReal | None:
        """Those of a plan whose release is being made; None for a plan that spares nobody.

        Raises IntegrityError where the judge of `config` is not the planned one, or the vectors of
        the real people are gone or others.
        """
        limits, name = plan.request.spared, judge_of(config)
        if limits is None:
            return None
        judge = open_embedder(name, device, KEY) if name else None
        if judge is None or judge.sha256 != limits.judge_sha256:
            found = f"has sha256 {judge.sha256[:12]}" if judge else "got null"
            raise IntegrityError(
                f"{KEY}: {found}, the release was planned with {limits.judge_sha256[:12]}; use that"
            )
        return cls(judge, Encoding.of(plan.request), limits, read_spared(release, plan))

    def embed(self, batch: EmbeddedBatch, shots: Sequence[Shot]) -> dict[Shot, np.ndarray]:
        """The judge's unit vectors of some faces of a batch.

        It sees the whole batch, because networks round by the number of rows; what it says of a
        face depends on no other.
        """
        if not shots:
            return {}
        images_BHWC = batch.images.images_BHWC.copy()
        for shot in shots:
            encoded = self._encoding.encode(images_BHWC[shot.slot], shot.prompt)
            images_BHWC[shot.slot] = decode_image(encoded, shot.key, images_BHWC[0].size)
        unit_BD = self._judge.embed(images_BHWC)
        return {shot: unit_BD[shot.slot].astype(np.float32) for shot in shots}

    def is_near(self, unit_D: np.ndarray) -> bool:
        """Whether a face would be a leak."""
        return bool(is_leak(self._gallery.nearest(unit_D[None]), self._limits.face_cosine)[0])

    def is_near_by_mean(self, unit_ND: np.ndarray) -> bool:
        """Whether an identity whose kept faces these are would be a leak by their mean."""
        center_1D = unit_means(unit_ND, np.zeros(len(unit_ND), int))
        return bool(is_leak(self._gallery.nearest(center_1D), self._limits.center_cosine)[0])
