"""Compare DreamBooth, PortraitBooth and ID-Booth on the same people.

    python -m jobs.compare_personalization configs/personalization/mini.yaml [section.key=value ...]

The plain base model is a row too. Trains a set of LoRAs for each row, makes a release for each of
two sets of prompts, and trains recognizers on each where utility.benchmarks names pairs; what is
made already is found again. The figures go to
<store>/<dataset>-comparison/comparison-<version>.json.
"""

from __future__ import annotations

import functools

from factory.config import Config
from jobs._job import Job
from jobs._runners import on_device_of, runner_of
from jobs._sections import RELEASE
from jobs._training import run_training


def compare_personalization(config: Config, dry_run: bool) -> None:
    from factory.recognition.train import train
    from factory.studies.personalization import ROWS, compare, lines
    from factory.synthesis.lora_finetuning import check

    if dry_run:
        plan = check(config)
        print(f"checked; {len(ROWS)} sets of {len(plan.units)} LoRAs would be trained")
        return
    train_one = functools.partial(run_training, train)
    table = compare(config, runner_of(config), train_one, on_device=on_device_of(config))
    print("\n".join(lines(table)))


JOB = Job(__doc__, compare_personalization, reads=(*RELEASE, "batches", "utility"))

if __name__ == "__main__":
    JOB.main()
