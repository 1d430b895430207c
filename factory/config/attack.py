"""How jobs.attack asks a generator whether it knows the people that it learned from."""

from __future__ import annotations

from dataclasses import dataclass

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """Membership inference and extraction against the generator of this config.

    Members are the training part of `source`, the others its held-out part
    (source.holdout_identities, or source.heldout). Nothing here changes a byte of the data.
    """

    num_people: int = knob(100, low=2, high=1000)
    """Most people of each side, drawn by the seed; fewer than 100 held out cannot resolve a false
    positive rate of 1 %."""
    images_per_person: int = knob(4, low=1)
    """Most images of a person, drawn by the seed."""
    num_draws: int = knob(4, low=1)
    """Images drawn at each person's center, and as many at embeddings of single images."""
    num_free_draws: int = knob(128, low=1)
    """Images drawn at nobody's embedding, and as many at virtual people of a sealed release."""
    noise_levels: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Noise levels t/T at which real images are denoised, above 0 and at most 1."""
    num_noises: int = knob(4, low=1)
    """Noises that a denoising loss is averaged over, the same for all images."""
    batch_size: int = knob(32, low=1)
    """Images that are drawn or denoised at once."""
    seed: int = knob(0, low=0)
    """Decides who is chosen, all noises, and the resampling of people."""
    out: str = file_path("runs/attack")
    """Folder of attack.json where the release that the config names is not sealed."""
