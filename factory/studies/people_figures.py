"""Figures of who would exist in a release, and of a few faces drawn of them.

Claims about proposals compare them: how far apart people are says nothing where they are no faces,
as random directions are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import Config
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.metrics.separability import Separability
from factory.evaluation.separability import separability
from factory.identities.roster import Roster
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import Inputs, preflight
from factory.preview import preview
from factory.shots.plan import Plan
from factory.training.distributed import kept_threads

SPAN_AXES = 64
"""Principal axes of real people's prototypes that count as their span, as identities.pca_dims."""
DRAWN_PEOPLE = 60
"""People of whom faces are drawn, the first ones."""
DRAWN = "drawn"
"""Name of the figures that need a generator."""


def people_figures(config: Config, folder: str, wanted: Sequence[str]) -> dict[str, Any]:
    """All figures of the people that a config admits, as JSON; nothing enters a store.

    Those of separability, `real_span` (energy_in_span), and, where `wanted` names one of them,
    `drawn`: own_cosine, the mean cosine of a face to the vector that it was drawn from, and
    kept_fraction, of the first DRAWN_PEOPLE. A page of these faces lies in `folder`.
    """
    inputs, admitted, unit_real_ND = _admitted(config)
    figures: dict[str, Any] = to_json(_separability(inputs, admitted))
    figures["real_span"] = energy_in_span(unit_real_ND, admitted.unit_virtual_VD)
    if any(name.split(".")[0] == DRAWN for name in wanted):
        figures[DRAWN] = _drawn(config, folder)
    return figures


def roster(config: Config) -> Separability:
    """How separable the people are that a config admits; nothing is drawn or written."""
    inputs, admitted, _ = _admitted(config)
    return _separability(inputs, admitted)


def energy_in_span(unit_real_ND: np.ndarray, unit_VD: np.ndarray) -> dict[str, float]:
    """How much of V unit vectors lies where real people differ, and what random ones have.

    `energy` is the mean squared length of projections onto the first SPAN_AXES principal axes of
    N >= 2 real people's unit vectors, of which there are at most N - 1; that of random directions
    in D dimensions, `random`, is axes/D.
    """
    real_ND = unit_real_ND.astype(np.float64)
    _, _, basis_AD = np.linalg.svd(real_ND - real_ND.mean(0), full_matrices=False)
    axes_AD = basis_AD[: min(SPAN_AXES, len(real_ND) - 1)]
    energy_V = np.square(unit_VD.astype(np.float64) @ axes_AD.T).sum(1)
    return {"energy": float(energy_V.mean()), "random": len(axes_AD) / real_ND.shape[1]}


def _admitted(config: Config) -> tuple[Inputs, Roster, np.ndarray]:
    """What a config asks for, its people, and the real people's prototypes of its recognizer."""
    inputs = preflight(config)
    with kept_threads():
        recognizer = open_recognizer(config)
        admitted = build_roster(config, recognizer, inputs.source, inputs.request.max_cosine)
    return inputs, admitted, recognizer.unit_real


def _separability(inputs: Inputs, admitted: Roster) -> Separability:
    return separability(Plan(inputs.request, {}, []), admitted, np.empty(0))


def _drawn(config: Config, folder: str) -> dict[str, float]:
    """Figures of faces of the first people, all that were drawn in the first round."""
    own = replace(
        config,
        store=replace(config.store, url=f"{folder}/release"),
        release=replace(config.release, dataset="claim"),
    )
    made = preview(own, DRAWN_PEOPLE, Path(folder) / DRAWN, log=lambda line: None)
    assert made is not None, "only a dry run draws nothing"
    cosines = [face.scores.own_cosine for face in made.faces if face.scores]
    return {
        "num_faces": len(made.faces),
        "own_cosine": float(np.mean([cosine for cosine in cosines if cosine is not None])),
        "kept_fraction": made.kept_fraction,
    }
