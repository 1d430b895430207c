"""The identity terms in hand-computed numbers."""

import pytest
import torch

from factory.text_to_image.identity_losses import OBJECTIVES, idbooth, portraitbooth, weight_of_time

ANCHOR = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
POSITIVE = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
NEGATIVE = torch.tensor([[0.6, 0.8], [-0.6, -0.8]])


def test_the_three_terms():
    terms = {name: term(ANCHOR, POSITIVE, NEGATIVE, 1.0) for name, term in OBJECTIVES.items()}
    assert terms["dreambooth"].tolist() == [0.0, 0.0]
    assert terms["portraitbooth"].tolist() == pytest.approx([1.0, 0.0])
    assert terms["idbooth"].tolist() == pytest.approx([1.6, 0.0])  # .6 - 0 + 1, -1 - 1 + 1


def test_the_triplet_falls_toward_the_person_and_away_from_the_prior():
    def slope(wanted: torch.Tensor) -> float:
        anchor = ANCHOR[:1].clone().requires_grad_(True)
        idbooth(anchor, POSITIVE[:1], NEGATIVE[:1], 1.0).sum().backward()
        return float((anchor.grad * wanted).sum())

    assert slope(POSITIVE[:1]) < 0 < slope(NEGATIVE[:1])


def test_a_margin_already_kept_costs_nothing():
    assert idbooth(ANCHOR[1:], POSITIVE[1:], NEGATIVE[1:], 2.0).item() == pytest.approx(0.0)
    assert portraitbooth(ANCHOR[1:], NEGATIVE[1:], POSITIVE[1:], 0.0).item() == pytest.approx(2.0)


def test_weight_of_time_is_one_without_noise_and_none_at_the_end():
    assert weight_of_time(torch.tensor([0, 500, 1000]), 1000).tolist() == [1.0, 0.25, 0.0]
