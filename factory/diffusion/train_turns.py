"""Trains the turns of an identity on embeddings of people with several images, in closed form.

    python -m jobs.train_turns configs/turns/starter.yaml

Held-out people say what it is worth: from an image of theirs, or from the mean of some, how near
the nearest of several turns by one angle comes to their other images, learned against random ones
of the same draws.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory import checkpoint
from factory.config import Config
from factory.diffusion.latent_cache import embeddings_of
from factory.diffusion.turns import KIND, TangentFlow, fit, mates_of, turned
from factory.errors import ConfigError, SourceError
from factory.provenance.faces import source_record
from factory.provenance.networks import provenance
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.seeds import stream_seed
from factory.training.distributed import pick_device
from factory.training.faces import Faces, describe, open_faces

TURN_COS = 0.8
"""Cosine of the turns that are compared: the middle of those of sampler.perturb_identity."""
NORMAL_95 = 1.96
"""Standard errors of a mean on each side of its 95 % interval."""


@dataclass(frozen=True)
class Gain:
    """By how much learned turns are nearer to held-out mates than random ones, over people."""

    random: float
    """Mean over people of the cosine of a mate to the nearest of the random turns."""
    learned: float
    gain: float
    """learned - random."""
    low: float
    """Lower end of the 95 % interval of the gain over people."""
    high: float


def train(config: Config, log: Log) -> dict[str, Any]:
    """Fit the flow, compare it on held-out people, write a checkpoint; its metrics.

    Raises ConfigError for several ranks, which it does not need, and SourceError for faces of
    which nobody has two.
    """
    if config.compute.num_ranks:
        raise ConfigError(
            f"compute.num_ranks: got {config.compute.num_ranks} for turns, which one process "
            "learns in minutes; want null"
        )
    faces, heldout = open_faces(config)
    log(describe(faces, heldout))
    recognizer = Recognizer.load(config.recognizer.checkpoint, pick_device(config.compute))
    unit_ND, label_N = _embeddings(faces, recognizer)
    recipe = config.turns
    try:
        flow = fit(unit_ND, label_N, recipe.ridge, recipe.shrinkage)
    except ValueError as error:
        raise SourceError(f"source.path: {error}; want several images of each") from None
    metrics: dict[str, Any] = {
        "num_people": len(list(mates_of(label_N))),
        "num_images": len(faces),
        "heldout": None,
    }
    if len(heldout):
        metrics["heldout"] = compare(flow, *_embeddings(heldout, recognizer), recipe.num_turns)
    _save(config, flow, recognizer, faces, metrics)
    return metrics


def compare(
    flow: TangentFlow, unit_ND: np.ndarray, label_N: np.ndarray, num_turns: int
) -> dict[str, Any]:
    """Gains over people with at least 4 images: from each image, and from the mean of every other.

    Of the mean only the images that it is not made of are mates.
    """
    image, center = [], []
    for number, rows in enumerate(mates_of(label_N)):
        if len(rows) < 4:
            continue
        own_QD = unit_ND[rows]
        each = [
            _nearest(flow, own_QD[i], np.delete(own_QD, i, 0), num_turns, number, i)
            for i in range(len(own_QD))
        ]
        image.append(np.mean(each, 0))
        mean_D = own_QD[::2].mean(0)
        mean_D /= np.linalg.norm(mean_D)
        center.append(_nearest(flow, mean_D, own_QD[1::2], num_turns, number, -1))
    gains = {"from_image": _gain(image), "from_center": _gain(center)}
    return {"num_people": len(image), "turn_cos": TURN_COS, "num_turns": num_turns} | gains


def _nearest(
    flow: TangentFlow, unit_D: np.ndarray, mates_QD: np.ndarray, num_turns: int, *stream: int
) -> tuple[float, float]:
    """Mean over mates of the cosine to the nearest turn: of random ones, of learned ones."""
    nearest = []
    for one in (None, flow):
        seed = stream_seed("turns", *stream)  # the same draws for both
        draws = np.random.Generator(np.random.Philox(seed))
        turned_KD = np.stack([turned(unit_D, TURN_COS, draws, one) for _ in range(num_turns)])
        nearest.append(float((mates_QD @ turned_KD.T).max(1).mean()))
    return nearest[0], nearest[1]


def _gain(pairs: list[Any]) -> dict[str, float] | None:
    """The gain over people, as plain values; None of fewer than two."""
    if len(pairs) < 2:
        return None
    random_P, learned_P = np.array(pairs).T
    gain_P = learned_P - random_P
    half = NORMAL_95 * float(gain_P.std(ddof=1)) / len(gain_P) ** 0.5
    mean = float(gain_P.mean())
    return asdict(
        Gain(float(random_P.mean()), float(learned_P.mean()), mean, mean - half, mean + half)
    )


def _embeddings(faces: Faces, recognizer: Recognizer) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [N, D] of faces, and their labels; kept beside faces that lie in files."""
    rows, every = embeddings_of(faces, recognizer).rows(), np.arange(len(faces))
    return rows.pick(every, np.zeros_like(every)), np.asarray(faces.labels)


def _save(
    config: Config,
    flow: TangentFlow,
    recognizer: Recognizer,
    faces: Faces,
    metrics: dict[str, Any],
) -> None:
    lineage = {"recognizer": recognizer.sha256}
    learned_from = [source_record(config.source, faces)]
    made = checkpoint.Checkpoint(
        KIND,
        flow.tensors,
        {
            "embedding_dim": recognizer.dim,
            "ridge": config.turns.ridge,
            "shrinkage": config.turns.shrinkage,
        },
        0,
        metrics,
        lineage,
        "",
        provenance(config, KIND, learned_from, lineage),
    )
    checkpoint.save(Path(config.training.out), made)
