"""Import an insightface model as a recognizer of the factory.

    python -m jobs.import_recognizer configs/recognizer/mini.yaml \\
        recognizer.checkpoint=buffalo_l checkpoint.license=research-only training.out=runs/imported

It can then condition a generator. The checkpoint it writes has no virtual prototypes and no
gradients: propose by pca, and train the generator with generator.identity_weight=0.
"""

from __future__ import annotations

from factory.config import Config
from factory.store.json_text import json_text
from jobs._job import Job


def import_recognizer(config: Config, dry_run: bool) -> None:
    from factory.recognition.import_onnx import check_import
    from factory.recognition.import_onnx import import_recognizer as import_onnx

    check_import(config)
    if dry_run:
        print("checked; nothing is written")
        return
    print(json_text(import_onnx(config), indent=2))
    print("wrote", config.training.out)


JOB = Job(
    __doc__,
    import_recognizer,
    reads=("source", "rendering", "compute", "training", "recognizer", "checkpoint"),
)

if __name__ == "__main__":
    JOB.main()
