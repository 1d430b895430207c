"""Scores of rendered faces: what is measured of their pixels, and what is known of them."""

from __future__ import annotations

from factory.quality.pixels import sharpness_and_brightness
from factory.records import DrawnBatch, Scores, Shot


class TruthScorer:
    """Sharpness, brightness and the occluded fraction; no recognizer looks, so cosines are None."""

    def score(self, shots: list[Shot], batch: DrawnBatch) -> list[Scores]:
        """Scores of the shots of a batch whose images are rendered."""
        slots = [shot.slot for shot in shots]
        sharp, bright = sharpness_and_brightness(batch.images_BHWC[slots])
        return [
            Scores(
                own_cosine=None,
                nearest_other=-1,
                nearest_other_cosine=None,
                nearest_real_cosine=None,
                sharpness=round(sharp[row], 3),
                brightness=round(bright[row], 3),
                occluded=batch.rendered[slot].occluded,
            )
            for row, slot in enumerate(slots)
        ]
