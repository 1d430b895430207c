"""Where people lie and what is drawn of them; the claim of prototypes refutes random directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from factory import checkpoint
from factory.config import load_claim
from factory.identities.roster_building import open_recognizer
from factory.studies import claims, people_figures
from factory.studies.claims import examine
from factory.studies.people_figures import energy_in_span
from tests.conftest import DIM, PEOPLE

CLAIM = Path(__file__).parents[3] / "configs/claims/prototypes.yaml"
ENERGY = "real_span.energy"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_energy_in_the_span_by_hand():
    """Three people at 1, 2 and 3 along x and y: they differ along (1, 1) / sqrt 2 and y alone."""
    real = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], float)
    found = energy_in_span(real, np.array([[0.6, 0, 0.8, 0], [0, 0, 0, 1.0], [1, 0, 0, 0]]))
    assert found["energy"] == pytest.approx((0.36 + 0 + 1) / 3)
    assert found["random"] == 2 / 4


def test_random_directions_have_what_is_said_of_them_and_real_people_most():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T
    real = unit(rng.normal(size=(300, 64)) @ basis)
    found = energy_in_span(real, unit(rng.normal(size=(4000, 256))))
    assert found["energy"] == pytest.approx(found["random"], abs=0.005)
    assert found["random"] == people_figures.SPAN_AXES / 256 == 0.25
    assert energy_in_span(real, real)["energy"] == pytest.approx(1)


def test_the_mean_face_is_no_axis():
    """What all real people share tells nobody apart, so being like it counts for nothing."""
    real = unit(np.eye(5)[:3] + 10 * np.eye(5)[4])
    assert energy_in_span(real, np.eye(5)[4:])["energy"] < 0.01


@pytest.mark.parametrize(("kind", "verdict"), [("random", "refuted"), ("in the span", "holds")])
def test_the_claim_of_prototypes(release_config, weights, tmp_path, monkeypatch, kind, verdict):
    """Random directions win by their distance and are refuted, as they are not where faces are.

    Real people here differ along three axes of sixteen. Prototypes in their span are corners of a
    tetrahedron and their opposites, further apart than random draws.
    """
    rng = np.random.default_rng(1)
    real_ND = checkpoint.load(str(weights / "recognizer"), "recognizer", "x").tensors
    real_ND = unit(real_ND["prototypes.real"].numpy())
    axes_AD = np.linalg.svd(real_ND - real_ND.mean(0), full_matrices=False)[2][: PEOPLE - 1]
    virtual_KD = unit(np.concatenate([axes_AD, -axes_AD]))
    if kind == "random":
        virtual_KD = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:6]
    known = "plan.images_per_identity"

    def small(path, changes):
        return release_config(
            *(change for change in changes if not change.startswith(known)),
        )

    def recognizer(config):
        opened = open_recognizer(config)
        opened.unit_virtual = virtual_KD.astype(np.float32)
        return opened

    claim = load_claim(CLAIM, [f"out={tmp_path / 'claims'}", "seeds=[0,1]"])
    monkeypatch.setattr(claims, "load", small)
    monkeypatch.setattr(people_figures, "open_recognizer", recognizer)
    figures = people_figures.people_figures
    drawn = {"own_cosine": 0.9, "kept_fraction": 1.0}  # of untrained networks it says nothing
    monkeypatch.setattr(
        claims, "people_figures", lambda c, f, wanted: figures(c, f, ()) | {"drawn": drawn}
    )
    result = examine("prototypes", claim, None, None, len)
    assert result.verdict == verdict
    better, worse = (np.mean(result.figures[arm]) for arm in ("prototypes", "random"))
    assert better < worse - claim.min_difference  # by distance alone, both would hold
    energy = result.further[ENERGY]["prototypes"][0]
    assert (energy > 0.99) == (verdict == "holds")
    assert bool(result.decision.broken) == (verdict == "refuted")


def test_figures_of_drawn_faces_are_those_of_a_preview(release_config, tmp_path, monkeypatch):
    monkeypatch.setattr(people_figures, "DRAWN_PEOPLE", 2)
    config = release_config("filters.min_own_cosine=0.0")
    found = people_figures.people_figures(config, str(tmp_path / "f"), ["drawn.own_cosine"])
    assert found["drawn"]["num_faces"] == 4
    assert -1 <= found["drawn"]["own_cosine"] <= 1
    kept = found["drawn"]["kept_fraction"]
    assert kept in {0.0, 0.25, 0.5, 0.75, 1.0}
    assert (tmp_path / "f/drawn/index.html").is_file()
    assert not Path(config.store.url).exists()
    assert "drawn" not in people_figures.people_figures(config, "nowhere", ["nearest_other.mean"])
