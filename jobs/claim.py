"""Does a published finding hold here, in small? One file is one finding.

    python -m jobs.claim configs/claims/packing.yaml
    python -m jobs.claim configs/claims/*.yaml [out=runs/claims]

Makes the releases and trainings of all arms and seeds, goes on where it stopped, prints the verdict
by the rule in factory/studies/claims.py, and writes it
to OUT/CLAIM.json. What is not built is "not yet".
"""

from __future__ import annotations

import json
from pathlib import Path

from factory.config import Config
from jobs._command import guarded, parser_of
from jobs._training import train_where_asked
from jobs.release import release


def build(config: Config) -> Path:
    from factory.shards import layout

    release(config, False)  # into a folder of the claim's own
    return Path(
        config.store.url, layout.release_prefix(config.release.dataset, config.release.version)
    )


def claim(files: list[str], dotlist: list[str]) -> None:
    from factory.config import load_claim
    from factory.recognition.train import train
    from factory.studies.claims import examine, line, result_json

    claims = {Path(file).stem: load_claim(file, dotlist) for file in files}
    for name, asked in claims.items():
        result = examine(name, asked, lambda one: train_where_asked(train, one), build, print)
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").write_text(json.dumps(result_json(result), indent=1) + "\n")
        print(line(result))


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("claims", nargs="+", help="YAML files and changes as key=value")
    given = parser.parse_args().claims
    changes = [item for item in given if "=" in item]
    guarded(lambda: claim([item for item in given if "=" not in item], changes))
