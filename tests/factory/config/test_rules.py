"""Ranges and rules across sections: one line with the dotted key."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan.micro_batch=0"], "plan.micro_batch: got 0; want at least 1"),
        (["identities.max_cosine=1.5"], "identities.max_cosine: got 1.5; want -1 to 1"),
        (["recognizer.augment.crop=0.1"], "recognizer.augment.crop: got 0.1; want 0.5 to 1"),
        (["batches.mix=[{weight: 0}]"], "batches.mix[0].weight: got 0.0; want at least 0.001"),
        (["source.kind=folder"], "source.path: nothing given for source.kind=folder"),
        (["source.path=/somewhere"], "source.path: got '/somewhere' with source.kind=starter"),
        (["source.heldout=/x"], "source.heldout: got '/x' with source.kind=starter"),
        (["source.holdout_identities=1"], "source.holdout_identities: got 1; want 0 or at least 2"),
        (
            ["source.holdout_fraction=0.2", "source.holdout_identities=9"],
            "source.holdout_fraction: got 0.2 with source.holdout_identities=9; want one of them",
        ),
        (["plan.min_images=2"], "plan.min_images: got 2 with plan.on_shortfall=keep"),
        (
            ["plan.min_images=9", "plan.on_shortfall=drop"],
            "plan.min_images: got 9, more than plan.images_per_identity=8; nobody",
        ),
        (
            [
                *("plan.min_images=9", "plan.images_per_identity=9", "plan.on_shortfall=fail"),
                *("plan.fill_to=8", "release.allow_real=true"),
            ],
            "plan.min_images: got 9, more than plan.fill_to=8; nobody",
        ),
        (
            ["plan.on_shortfall=replace", "release.method=edit", "identities.num_virtual=0"],
            "plan.on_shortfall: got replace with release.method=edit; nobody can replace",
        ),
        (
            ["plan.on_shortfall=replace", "plan.fill_to=8", "release.allow_real=true"],
            "plan.on_shortfall: got replace with plan.fill_to=8; nobody can replace",
        ),
        (["plan.fill_to=20"], "plan.fill_to: got 20 while release.allow_real is false"),
        (["identities.num_virtual=0"], "identities.num_virtual: got 0 and plan.fill_to is 0"),
        (["judge.checkpoint=starter:recognizer"], "judge.checkpoint: got 'starter:recognizer'"),
        (["generator.depth=4"], "generator.depth: got 4; want an odd number"),
        (["generator.width=66"], "generator.num_heads: got 4; want a divisor"),
        (["generator.reset_identity_layers=true"], "generator.reset_identity_layers: got true"),
        (["release.dataset=a/b"], "release.dataset: got 'a/b'; want ASCII letters"),
        (["release.version=.."], "release.version: got '..'; want ASCII letters"),
        (["autoencoder.widths=[20]"], "autoencoder.widths: got [20]; want one or more multiples"),
        (["autoencoder.widths=[]"], "autoencoder.widths: got []; want one or more multiples"),
        (["base_training.widths=[33]"], "base_training.widths: got [33]; want multiples of 32"),
        (["sampler.guidance_interval=[1, 0]"], "sampler.guidance_interval: got [1, 0]"),
        (["generator.betas=[0.9, 1]"], "generator.betas: got [0.9, 1]; want two numbers from 0 to"),
        (
            ["recognizer.augment={erase: 0.1, erase_least: 0.2}"],
            "recognizer.augment.erase_least: got 0.2 with erase=0.1; want at most that",
        ),
        (["sampler.guidance=null"], "sampler.guidance: got null with sampler.kind=unipc; want a"),
        (
            ["sampler.kind=distilled", "sampler.num_steps=5"],
            "sampler.num_steps: got 5 with sampler.kind=distilled; want what the generator was "
            "distilled for, at most 4",
        ),
        (
            ["sampler.kind=distilled", "sampler.num_steps=4", "sampler.timestep_spacing=logsnr"],
            "sampler.timestep_spacing: got 'logsnr' with sampler.kind=distilled",
        ),
        (
            ["sampler.kind=distilled", "sampler.num_steps=4", "sampler.guidance_interval=[0,.6]"],
            "sampler.guidance_interval: got (0.0, 0.6) with sampler.kind=distilled",
        ),
        (
            [
                *("sampler.kind=distilled", "sampler.num_steps=4"),
                "sampler.negative_condition=nearest_identity",
            ],
            "sampler.negative_condition: got 'nearest_identity' with sampler.kind=distilled",
        ),
        (
            [
                *("sampler.kind=distilled", "sampler.num_steps=4", "release.method=edit"),
                *("identities.num_virtual=0", "editing.checkpoint=c"),
            ],
            "sampler.kind: got 'distilled' with release.method=edit; want ddim or unipc",
        ),
        (["sampler.similarity=[2]"], "sampler.similarity: got 2.0; want cosines"),
        (["release.method=lora"], "personalization.loras: nothing given with release.method=lora"),
        (
            ["release.method=edit", "editing.method=uvit", "identities.num_virtual=0"],
            "editing.checkpoint: nothing given for editing.method=uvit",
        ),
        (["release.method=edit"], "identities.num_virtual: got 100 with release.method=edit"),
        (["filters.min_original_cosine=0.1"], "filters.min_original_cosine: got 0.1 with release"),
        (["editing.kinds=[nose]"], "editing.kinds: got 'nose'; want some of mask"),
        (["editing.occluded_fractions=[1]"], "editing.occluded_fractions: got 1.0; want fractions"),
        (
            ["inpainting_training.points=detector", "source.detector=null"],
            "source.detector: got null while inpainting_training.points=detector; want starter",
        ),
        (["fleet.autoscale=true"], "fleet.num_workers: nothing given while fleet.autoscale"),
        (["identities.quotas={a: 1}"], "identities.attributes: nothing given while"),
        (["utility.benchmarks=[{kind: starter}]"], "utility.benchmarks[0].pairs: nothing given"),
        (
            ["audit.embeddings_dir=s3://b/x"],
            "audit.embeddings_dir: got 's3://b/x'; want a local path",
        ),
    ],
)
def test_violations_name_the_key_and_what_is_wanted(refusal, arguments, message):
    assert refusal(*arguments).startswith(message)
