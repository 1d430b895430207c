"""Train a LoRA of a text-to-image model for every person (ID-Booth).

    python -m jobs.personalize configs/personalization/mini.yaml [section.key=value ...]

The people are those of the source. A fleet of actors, one person at a time each; every LoRA is
committed once to <store>/<dataset>/loras/<personalization.loras>, and the same command goes on from
there.
"""

from __future__ import annotations

from factory.config import Config
from factory.store.json_text import json_text
from jobs._job import Job
from jobs._runners import on_device_of, runner_of


def personalize(config: Config, dry_run: bool) -> None:
    from factory.provenance.faces import require_license
    from factory.synthesis.lora_finetuning import finetune
    from factory.text_to_image.base_provenance import require_base_license

    require_license(config.source)
    require_base_license(config.base_model, config.checkpoint)
    means = finetune(config, runner_of(config), on_device=on_device_of(config), dry_run=dry_run)
    if means:
        print(json_text(means, indent=2))


JOB = Job(
    __doc__,
    personalize,
    reads=(
        "source",
        "compute",
        "base_model",
        "checkpoint",
        "personalization",
        "recognizer",
        "plan",
        "sampler",
        "fleet",
        "estimate",
        "store",
        "release",
    ),
)

if __name__ == "__main__":
    JOB.main()
