"""DreamBooth, PortraitBooth, ID-Booth and the bare base side by side, on the same people.

    python -m jobs.compare_booth configs/booth/mini.yaml [section.key=value ...]

Trains a set of LoRAs for each row and makes a release for each of two sets of prompts; what is made
already is found again. The figures go to <store>/<dataset>-comparison/comparison-<version>.json.
"""

from __future__ import annotations

from factory.config import Config
from jobs.command import run


def compare_booth(config: Config, dry_run: bool) -> None:
    from factory.comparison import ROWS, compare, lines
    from factory.synthesis.finetuning import check

    if dry_run:
        plan = check(config)
        print(f"checked; {len(ROWS)} sets of {len(plan.units)} LoRAs would be trained")
        return
    if config.fleet.runner == "inline":
        from factory.synthesis.inline import run_units
    else:
        from cluster.fleet import run_units

    print("\n".join(lines(compare(config, run_units))))


if __name__ == "__main__":
    run(__doc__ or "", compare_booth)
