"""An attack on a generator: can people it learned from be told from people it never saw?

Membership inference by draws and by denoising losses (Carlini et al. 2023, "Extracting training
data from diffusion models"; Matsumoto et al. 2023, "Membership inference attacks against diffusion
models"), for generators conditioned on an embedding. Each score is of a person, and is judged by
its ROC (attack_roc.py). Three kinds of scores lie side by side: those that ask the generator, one
of the recognizer that conditions it, which learned from the same people, and blind ones.

Shapes: N real images, P people (members first), D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from factory import checkpoint
from factory.config import AttackConfig, Config
from factory.diffusion.distillation import refuse_student
from factory.errors import ConfigError
from factory.evaluation.attack_people import (
    AttackedPeople,
    choose_people,
    membership_of,
    open_sides,
    refuse_learned,
)
from factory.evaluation.attack_roc import (
    Resampling,
    attack_score,
    chances,
    detectable_auc,
    false_alarms,
    person_means,
)
from factory.evaluation.attack_scores import (
    AnybodysDraws,
    Gallery,
    OwnDraws,
    blind_scores,
    own_cosines,
)
from factory.evaluation.attack_trial import Trial
from factory.evaluation.metrics.attack import (
    Attack,
    AttackScore,
    AttackSide,
    FreeDraws,
    Nobody,
    Uses,
    finding_of,
)
from factory.evaluation.recognizers import CONDITIONING, JUDGE, open_recognizers
from factory.provenance.networks import records_of
from factory.recognition.resampling import interval
from factory.records import Log
from factory.sources import FaceSource
from factory.training.distributed import pick_device

Sides = tuple[FaceSource, FaceSource]


def check(config: Config) -> Sides:
    """Open (members, held-out people); raises FactoryError where there is nothing to attack.

    Also where the generator learned from people held out, as far as its records tell.
    """
    method, levels = config.release.method, config.attack.noise_levels
    if method != "diffusion":
        raise ConfigError(
            f"release.method: got {method!r}; an attack asks a generator that draws from "
            "embeddings, want diffusion (for lora and edit there is none yet)"
        )
    if config.sampler.kind == "distilled":
        raise ConfigError(
            "sampler.kind: got 'distilled'; an attack asks the teacher, want 'unipc' and the "
            "teacher as generator.checkpoint"
        )
    if not levels or not all(0 < level <= 1 for level in levels):
        raise ConfigError(
            f"attack.noise_levels: got {list(levels)}; want one or more above 0 and at most 1"
        )
    sides = open_sides(config.source)
    generator = _generator(config)
    refuse_student(generator["config"], "generator.checkpoint")
    refuse_learned(records_of(generator), sides[1])
    return sides


def attack(
    config: Config, sides: Sides, virtual_VD: np.ndarray | None = None, log: Log = print
) -> Attack:
    """Attack the generator of a config; `virtual_VD` are unit vectors of virtual people, if any."""
    people = choose_people(*sides, config.attack)
    spaces = open_recognizers(config, pick_device(config.compute))
    judged_by: Literal["judge", "recognizer"] = "judge" if JUDGE in spaces else "recognizer"
    num_members, num_heldout = people.num_members, people.num_people - people.num_members
    log(f"attack: {len(people.person_N)} images of {num_members} members, {num_heldout} held out")
    gallery = Gallery(people, spaces[judged_by])
    unit_ND = gallery.unit_ND
    if judged_by == "judge":
        unit_ND = spaces[CONDITIONING].embed(people.images_NHWC)
    metadata = _generator(config)
    by_person = metadata["config"]["condition"] in ("prototype", "center")
    trial = Trial(config, gallery, unit_ND, virtual_VD, by_person, log)
    tables: dict[Uses, Mapping[str, np.ndarray]] = {
        "generator": trial.scores(),
        "recognizer": _recognizer_scores(unit_ND, people),
        "nothing": blind_scores(people.images_NHWC, gallery.unit_ND),
    }
    scores = _judged(tables, people, config.attack.seed)
    return Attack(
        generator=metadata["sha256"],
        space=judged_by,
        membership=membership_of(records_of(metadata), sides[0]),
        members=_side(people, trial.own, slice(num_members)),
        heldout=_side(people, trial.own, slice(num_members, None)),
        false_alarms=false_alarms(num_heldout),
        scores=scores,
        free_draws=[
            _free_draws(where, drawn, people, config.attack.seed)
            for where, drawn in trial.free.items()
        ],
        detectable_auc=detectable_auc(num_members, num_heldout),
        finding=finding_of(scores),
        settings=_settings(config.attack),
    )


def _judged(
    tables: Mapping[Uses, Mapping[str, np.ndarray]], people: AttackedPeople, seed: int
) -> list[AttackScore]:
    """Figures of all scores; those of one kind are looked at together."""
    num_members = people.num_members
    resampling = Resampling.of(num_members, people.num_people - num_members, seed)
    scores = []
    for uses, table in tables.items():
        if table:
            by_person = [person_means(values_N, people.person_N) for values_N in table.values()]
            scores_KP = np.stack(by_person)
            chance_K = chances(scores_KP, num_members, seed)
            scores += [
                attack_score(name, uses, score_P, num_members, resampling, float(chance))
                for name, score_P, chance in zip(table, scores_KP, chance_K, strict=True)
            ]
    return scores


def _recognizer_scores(unit_ND: np.ndarray, people: AttackedPeople) -> dict[str, np.ndarray]:
    cosines_N = own_cosines(unit_ND, people.person_N)
    return {} if cosines_N is None else {"cosine to the person's other images": cosines_N}


def _generator(config: Config) -> dict[str, Any]:
    """checkpoint.json of the generator."""
    name = config.generator.checkpoint
    return checkpoint.read_metadata(name, "generator", "generator.checkpoint")


def _side(people: AttackedPeople, own: list[OwnDraws], which: slice) -> AttackSide:
    images_P = np.bincount(people.person_N)[which]
    return AttackSide(
        people=len(images_P),
        images=int(images_P.sum()),
        draws=sum(int(drawn.draws_of[which].sum()) for drawn in own),
        near_copies=sum(int(drawn.copies_of[which].sum()) for drawn in own),
    )


def _free_draws(
    where: Nobody, drawn: AnybodysDraws, people: AttackedPeople, seed: int
) -> FreeDraws:
    """How many draws are nearest to a member, and its interval by resampling both sides."""
    nearest_BP, num_members = drawn.nearest_BP, people.num_members
    num_draws, num_people = nearest_BP.shape
    resampling = Resampling.of(num_members, num_people - num_members, seed)
    there_RP = np.concatenate([resampling.members_RP, resampling.heldout_RQ], 1) > 0
    order_BP = np.argsort(-nearest_BP, axis=1, kind="stable")
    counts_R = np.zeros(len(there_RP))
    for order_P in order_BP:
        first_R = order_P[there_RP[:, order_P].argmax(1)]
        counts_R += first_R < num_members
    return FreeDraws(
        condition=where,
        draws=num_draws,
        nearest_is_member=int((order_BP[:, 0] < num_members).sum()),
        expected=num_draws * num_members / num_people,
        interval=interval(counts_R),
        near_copies=drawn.near_copies,
    )


def _settings(config: AttackConfig) -> dict[str, Any]:
    """The section without the name of its folder."""
    plain = {item.name: getattr(config, item.name) for item in fields(config)}
    del plain["out"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}
