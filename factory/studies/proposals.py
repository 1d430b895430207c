"""All proposals of virtual people side by side, at one gate and with one generator (METHODS 5).

Each row has as many people, admitted by the same gate, and as many images of each, drawn from the
same noise. The first row is of real class centers, which no gate sees: what the generator can do.

Shapes: N people, S images of each, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from factory.config import Config
from factory.diffusion.decoded_prototypes import draw_shots, embed_shots
from factory.diffusion.generator_figures import probe
from factory.diffusion.reconstruction import evenly_spaced
from factory.diffusion.trained_generator import load_trained
from factory.errors import ConfigError, PlanError
from factory.identities.gate import admit
from factory.identities.proposals import Pool, Proposal
from factory.identities.roster_building import class_centers, open_recognizer, propose
from factory.planning.gate_limit import settle_limit
from factory.planning.preflight import check_weights
from factory.recognition.batches import open_training_set
from factory.recognition.embed import Recognizer
from factory.recognition.external import open_embedder
from factory.recognition.judge import KEY, judge_of
from factory.recognition.prototype_stage import keep_features, shape_prototypes
from factory.recognition.train_prototypes import labels_of
from factory.recognition.verification import summary
from factory.records import Log
from factory.sources import open_source
from factory.synthesis.networks import Networks

REAL, STAGE = "real centers", "prototypes after the stage"


@dataclass(frozen=True)
class Row:
    """What one proposal gives. All cosines but the judge's are by the conditioning recognizer."""

    proposal: str
    redrawn: int
    """Candidates that the gate refused, of a proposal that is drawn."""
    nearest_real: float
    """Mean cosine of a person to the nearest real one."""
    nearest_other: float
    """Mean cosine of a person to the nearest other one."""
    own_cosine: float
    """Mean cosine of an image to the person it was asked of."""
    kept: float
    """Fraction of images with at least filters.min_own_cosine."""
    image_nearest_other: float
    """Mean cosine of an image to the nearest person whom it was not asked of."""
    own_auc: float
    """Chance that an image is nearer to its person than an image of somebody else is."""
    within: float
    """Mean cosine of two images of one person."""
    diversity: float
    """Mean distance 1 - cosine of the mean embeddings of two people's images."""
    judge_auc: float | None
    """Chance that two images of one person are more alike than of two, by an independent judge."""
    judge_tar: float | None
    """Fraction of pairs of one person above the cosine of 1 % of pairs of two, by that judge."""


def check(config: Config) -> Networks:
    """The networks of a comparison; raises FactoryError for one that cannot begin."""
    if config.identities.num_virtual < 2:
        raise ConfigError(
            f"identities.num_virtual: got {config.identities.num_virtual}; want 2 people or more, "
            "such as 60, to tell apart"
        )
    if config.release.method != "diffusion":
        raise ConfigError(
            f"release.method: got {config.release.method}; want diffusion, the one that proposes"
        )
    return check_weights(config)


def compare(config: Config, log: Log = print) -> list[Row]:
    """A row for each proposal that gives enough people; `log` is told of those that do not.

    identities.num_virtual people, plan.images_per_identity images of each, limit
    identities.max_cosine. With recognizer.prototypes.steps there is a row of the prototypes after
    that stage, whose recipe is recognizer's.
    """
    networks = check(config)
    source, recognizer = open_source(config.source), open_recognizer(config)
    limit = settle_limit(config, networks.metadata["recognizer"], source, 0).max_cosine
    centers_ND, _ = class_centers(recognizer, source, config.source.max_corrupt_fraction)
    real_ND = np.concatenate([recognizer.unit_real, centers_ND])
    measure = Drawing(config, recognizer)
    count = config.identities.num_virtual
    shown_ND = centers_ND[evenly_spaced(len(centers_ND), min(count, len(centers_ND)))]
    rows = [measure.row(REAL, shown_ND, 0, math.nan)]
    log(f"gate {limit:.4f}, {count} people x {config.plan.images_per_identity} images")
    for name, proposal in _proposals(config, recognizer, centers_ND, real_ND, limit):
        try:
            admitted = admit(
                proposal,
                real_ND,
                num_identities=count,
                max_cosine=limit,
                max_attempts=config.identities.max_attempts,
            )
        except PlanError as error:
            log(f"{name}: {error}")
            continue
        nearest_real = float(admitted.nearest_real.mean())
        rows.append(measure.row(name, admitted.unit_ND, sum(admitted.attempts), nearest_real))
    return rows


def _proposals(
    config: Config,
    recognizer: Recognizer,
    centers_ND: np.ndarray,
    real_ND: np.ndarray,
    limit: float,
) -> Iterator[tuple[str, Proposal | Pool]]:
    """All proposals that need no other faces, by name; without virtual prototypes fewer."""
    names = [
        "pca",
        "packing",
        *(["colored", "prototypes"] if len(recognizer.unit_virtual) else []),
    ]
    for name in names:
        identities = replace(config.identities, proposal=name, inquiry=None)  # type: ignore[arg-type]
        one = replace(config, identities=identities)
        yield name, propose(one, recognizer, centers_ND, real_ND, limit, 0)
    if config.recognizer.prototypes.steps:
        yield STAGE, Pool("prototypes", _after_stage(config, recognizer))


def _after_stage(config: Config, recognizer: Recognizer) -> np.ndarray:
    """Unit prototypes [K, D] that the stage makes of a recognizer."""
    recipe = replace(config.recognizer, embedding_dim=recognizer.dim)
    training_set, _ = open_training_set(config)
    label_N = labels_of(training_set, recognizer.real_names)
    kept = keep_features(recognizer, training_set, label_N, recipe.prototypes.max_images)
    real_ND = torch.from_numpy(np.array(recognizer.unit_real))
    shaped = shape_prototypes(recipe, real_ND, len(real_ND), kept, config.training.seed)
    unit_KD = torch.nn.functional.normalize(shaped.virtual_KD)
    return np.asarray(unit_KD.numpy())


class Drawing:
    """The networks that draw and look at a row."""

    def __init__(self, config: Config, recognizer: Recognizer) -> None:
        self._recognizer, self._num_shots = recognizer, config.plan.images_per_identity
        self._generator, _ = load_trained(config, recognizer.device)
        self._least_own = config.filters.min_own_cosine
        judge = judge_of(config)
        self._judge = open_embedder(judge, recognizer.device, KEY) if judge else None

    def row(self, name: str, unit_ND: np.ndarray, redrawn: int, nearest_real: float) -> Row:
        """Draw people and look at them."""
        unit_ND = np.ascontiguousarray(unit_ND, np.float32)
        images_NSHWC = draw_shots(self._generator, unit_ND, self._num_shots)
        drawn_NSD = embed_shots(self._recognizer, images_NSHWC)
        judged = {}
        label_M = np.repeat(np.arange(len(unit_ND)), self._num_shots)
        if self._judge and self._num_shots > 1:
            flat = images_NSHWC.reshape(-1, *images_NSHWC.shape[2:])
            judged = summary(self._judge.embed(flat), label_M)
        figures = figures_of(unit_ND, drawn_NSD, self._least_own)
        return Row(
            proposal=name,
            redrawn=redrawn,
            nearest_real=nearest_real,
            judge_auc=judged.get("auc"),
            judge_tar=judged.get("tar_at_far_1e-2"),
            **figures,
        )


def figures_of(
    asked_ND: np.ndarray, drawn_NSD: np.ndarray, least_own: float | None
) -> dict[str, float]:
    """The figures of a row that unit vectors decide: those asked for, those of what was drawn."""
    people, shots, dim = drawn_NSD.shape
    cosine_NSN = drawn_NSD @ asked_ND.T
    own_NS = np.einsum("nsd,nd->ns", drawn_NSD, asked_ND)
    itself_NN = np.eye(people, dtype=bool)
    label_M = np.repeat(np.arange(people), shots)
    asked_MD = asked_ND[label_M]
    told = probe(asked_MD, label_M, drawn_NSD.reshape(-1, dim))
    center_ND = drawn_NSD.mean(1)
    center_ND = center_ND / np.linalg.norm(center_ND, axis=1, keepdims=True)
    pairs_NSS = drawn_NSD @ drawn_NSD.transpose(0, 2, 1)
    return {
        "nearest_other": float(np.where(itself_NN, -1, asked_ND @ asked_ND.T).max(1).mean()),
        "own_cosine": float(own_NS.mean()),
        "kept": float((own_NS >= (-1 if least_own is None else least_own)).mean()),
        "image_nearest_other": float(np.where(itself_NN[:, None], -1, cosine_NSN).max(2).mean()),
        "own_auc": float(told["own_auc"]),
        "within": float(pairs_NSS[:, ~np.eye(shots, dtype=bool)].mean()) if shots > 1 else math.nan,
        "diversity": float((1 - center_ND @ center_ND.T)[~itself_NN].mean()),
    }


def lines(rows: list[Row]) -> list[str]:
    """The table in Markdown."""
    names = list(asdict(rows[0]))
    head = [" | ".join(names), "|".join(["---"] + ["---:"] * (len(names) - 1))]
    cells = [" | ".join(_cell(value) for value in asdict(row).values()) for row in rows]
    return [f"| {line} |" for line in [head[0]]] + [f"|{head[1]}|"] + [f"| {c} |" for c in cells]


def _cell(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
