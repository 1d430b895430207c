"""Limits that networks must reach before the next stage uses them."""

from __future__ import annotations

from dataclasses import dataclass

from factory.config.field import knob


@dataclass(frozen=True, kw_only=True)
class AcceptanceConfig:
    """Limits that networks must reach before the next stage uses them (METHODS 1).

    A training measures its network at its end and keeps the figures in checkpoint.json; trainings
    and releases that use the network check them before anything is made. A checkpoint without
    figures passes with a remark; `jobs.measure_network` measures it. None switches a limit off.
    """

    min_psnr_db: float | None = knob(18.0, low=0.0)
    """Autoencoder: mean PSNR of reconstructed faces in dB, on held-out faces where the training had
    some, else on its own."""
    min_identity_cosine: float | None = knob(0.5, low=-1.0, high=1.0)
    """Autoencoder: mean cosine of the recognizer's embeddings of a face and its reconstruction."""
    max_denoising_ratio: float | None = knob(0.95, low=0.0)
    """Generator: mean squared error on held-out faces (else its own), divided at each of five noise
    levels by that of the best linear estimate from the mean and variance of each channel; an
    untrained network has about 1."""
    min_found_ratio: float | None = knob(0.3, low=0.0)
    """Generator: fraction of 32 drawn faces in which YuNet finds a face, divided by that of the
    faces whose embeddings they were drawn from; not asked where it finds none in these."""
    min_own_auc: float | None = knob(0.65, low=0.0, high=1.0)
    """Generator: probability that one of these drawn faces is nearer to the embedding it was drawn
    from than to that of another person; .5 is chance."""
    min_diversity: float | None = knob(0.3, low=0.0)
    """Generator: mean of 1 - cosine over pairs of faces drawn of different people, divided by that
    of the embeddings they were drawn from; 0 is one face for all."""
