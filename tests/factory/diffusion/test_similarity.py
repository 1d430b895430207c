"""CemiFace's condition and its loss, in closed form."""

from __future__ import annotations

import pytest
import torch

from factory.diffusion.similarity import GRID, draw_similarities, similarity_loss


def test_grid_is_the_papers():
    assert len(GRID) == 51
    torch.testing.assert_close(GRID[[0, 25, 50]], torch.tensor([-1.0, 0.0, 1.0]))
    drawn = draw_similarities(5000, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(GRID.tolist())
    assert float(drawn.mean()) == pytest.approx(0, abs=0.03)


def test_loss_in_closed_form():
    """s = .6: (1-g)*.16 + g*(m-.6)^2."""
    identity, made = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    for m, g, wanted in ((1.0, 0.0, 0.16), (0.6, 1.0, 0.0), (0.1, 1.0, 0.25), (0.1, 0.5, 0.205)):
        loss = similarity_loss(made, identity, torch.tensor([m]), torch.tensor([g]))
        assert loss.tolist() == pytest.approx([wanted], abs=1e-6)
