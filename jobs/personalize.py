"""Train a LoRA of a text-to-image model for every person of the source (ID-Booth).

    python -m jobs.personalize configs/personalization/mini.yaml [section.key=value ...]

A fleet of actors, one person at a time each; every LoRA is committed once to
<store>/<dataset>/loras/<personalization.loras>, and the same command goes on from there.
"""

from __future__ import annotations

import json

from factory.config import Config
from jobs._command import run
from jobs._runners import runner_of


def finetune_booth(config: Config, dry_run: bool) -> None:
    from factory.synthesis.lora_finetuning import finetune

    means = finetune(config, runner_of(config), dry_run=dry_run)
    if means:
        print(json.dumps(means, indent=2))


if __name__ == "__main__":
    run(__doc__ or "", finetune_booth)
