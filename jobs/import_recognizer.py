"""Make an insightface model the recognizer that conditions a generator.

    python -m jobs.import_recognizer configs/recognizer/mini.yaml \\
        recognizer.checkpoint=buffalo_l training.out=runs/adopted

The checkpoint it writes has no virtual prototypes and no gradients: propose by pca, and train the
generator with generator.identity_weight=0.
"""

from __future__ import annotations

import json

from factory.config import Config
from jobs._command import run


def adopt_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.external import describe_embedder
    from factory.recognition.import_onnx import KEY, import_recognizer

    describe_embedder(config.recognizer.checkpoint, KEY)
    if not dry_run:
        print(json.dumps(import_recognizer(config), indent=2))
        print("wrote", config.training.out)


if __name__ == "__main__":
    run(__doc__ or "", adopt_recognizer)
