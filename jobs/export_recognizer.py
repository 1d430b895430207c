"""Export a recognizer as an insightface recognition pack (ONNX).

    python -m jobs.export_recognizer runs/mini/recognizer packs/mini

`insightface.model_zoo.get_model("packs/mini/recognition.onnx")` then embeds as we do; needs `pip
install 'face-factory[eval]'`.
"""

from __future__ import annotations

from pathlib import Path

from jobs._arguments import Argument
from jobs._job import Job


def export_recognizer(checkpoint: str, out: str) -> None:
    from factory.recognition.export_onnx import export_pack

    print("wrote", export_pack(checkpoint, Path(out)))


CHECKPOINT = Argument("checkpoint", "folder of the recognizer, or starter:recognizer")
OUT = Argument("out", "folder of the pack")
JOB = Job(__doc__, export_recognizer, subjects=(CHECKPOINT, OUT), load=None)


if __name__ == "__main__":
    JOB.main()
