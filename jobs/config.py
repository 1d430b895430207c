"""Explain the settings of a config: type, range, default and meaning.

    python -m jobs.config
    python -m jobs.config sampler
    python -m jobs.config sampler.guidance
    python -m jobs.config --schema release > configs/schema.json

A key without its section, num_virtual, is shown in every section that has it. --schema prints the
JSON schema by which an editor completes and checks the YAML files of a release or training, of a
claim, or of a pipeline.
"""

from __future__ import annotations

import json

from jobs._arguments import Argument
from jobs._job import Job


def explain(words: list[str], schema: str | None) -> None:
    from factory.config import ClaimConfig, Config, PipelineConfig
    from factory.config.reference import json_schema, print_reference, reference, select

    if schema:
        schemas = {"release": Config, "claim": ClaimConfig, "pipeline": PipelineConfig}
        print(json.dumps(json_schema(schemas[schema]), indent=1, allow_nan=False))
        return
    sections = reference(Config)
    for word in words:
        print_reference(select(sections, word), details=True)
    if not words:
        print_reference(sections, details=False)
        print("\n`python -m jobs config SECTION` explains its keys, SECTION.KEY one of them")


SCHEMA = Argument(
    "--schema",
    "print the JSON schema of a release (or training), a claim or a pipeline",
    {
        "metavar": "[KIND]",
        "nargs": "?",
        "const": "release",
        "choices": ("release", "claim", "pipeline"),
    },
)
JOB = Job(__doc__, explain, load=None, options=(SCHEMA,), words="[SECTION[.KEY] ...]")


if __name__ == "__main__":
    JOB.main()
