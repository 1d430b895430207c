"""What a plan of LoRAs keeps of their recipe, and how older plans are read."""

from __future__ import annotations

from factory.config import BaseModelConfig, PersonalizationConfig
from factory.shots.environment import environment
from factory.shots.request import LEARNED_BEFORE, ComputeFacts, LoraRequest, PeopleFacts


def request_of(**recipe):
    return LoraRequest(
        dataset="people",
        name="all",
        seed=0,
        source=PeopleFacts("f" * 64, ("ann",)),
        weights={"base": "b" * 64},
        recipe=PersonalizationConfig(**recipe),
        base_model=BaseModelConfig(),
        sampler="ddim",
        compute=ComputeFacts("cpu", "fp32"),
        environment=environment(),
    )


def test_a_plan_says_how_pairs_are_drawn_and_gradients_clipped():
    body = request_of().to_dict()
    assert (body["recipe"]["order"], body["recipe"]["grad_clip"]) == ("epochs", 1.0)
    assert request_of(grad_clip=0.5).to_dict() != body != request_of(order="random").to_dict()
    assert LoraRequest.from_dict(body).to_dict() == body
    assert request_of(mirrors=False).to_dict()["recipe"]["mirrors"] is False


def test_an_older_plan_is_of_loras_that_were_learned_without_both():
    """Its hash must stay, so it is written as it was: without the fields."""
    older = request_of(**LEARNED_BEFORE).to_dict()
    assert not set(LEARNED_BEFORE) & set(older["recipe"])
    read = LoraRequest.from_dict(older)
    assert (read.recipe.order, read.recipe.grad_clip, read.recipe.mirrors) == ("random", 0.0, True)
    assert read.to_dict() == older
