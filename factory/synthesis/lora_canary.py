"""The canary of a set of LoRAs (shots/canary.py): the first steps of a LoRA of a prior image.

All that a person's training runs through is in them: encoder, U-Net forward and backward, decoder,
recognizer, optimizer. One step alone would not do, because Adam's first one is a sign.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

import numpy as np

from factory.errors import SourceError
from factory.shots.canary import Canary, this_machine
from factory.shots.plan import canonical
from factory.text_to_image.personalize import LoraTrainer

STEPS = 3


def train_canary(trainer: LoraTrainer, priors_NHWC: np.ndarray, device: str) -> Canary:
    """Digests of the prepared priors and of a few steps on the first that shows a face.

    `device` is the planned kind. Where none shows a face, and the objective needs one, the priors
    alone are compared.
    """
    prior = trainer.prior
    prepared = hashlib.sha256(prior.moments.cpu().numpy().tobytes())
    prepared.update(prior.unit_ND.numpy().tobytes())
    digests = {"priors": prepared.hexdigest()}
    row = next((row for row in range(len(priors_NHWC)) if prior.has_face(row)), 0)
    with suppress(SourceError):
        metrics = trainer.train("canary", priors_NHWC[row : row + 1], steps=STEPS)
        trained = trainer.lora.to_bytes() + canonical(metrics)
        digests["lora"] = hashlib.sha256(trained).hexdigest()
    return Canary(digests, this_machine(device))
