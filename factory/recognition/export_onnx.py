"""A recognizer as an insightface recognition pack: one ONNX file in a folder (extra `eval`)."""

from __future__ import annotations

from pathlib import Path

import torch

from factory import checkpoint
from factory.errors import CheckpointError
from factory.recognition.embed import Recognizer
from factory.store.atomic import check_place, write_atomically
from factory.store.json_text import json_text


def export_pack(name: str, out: Path) -> Path:
    """Write out/recognition.onnx (and recognition.json with its lineage) and return its path.

    The model takes [N, 3, px, px] RGB in (x-127.5)/127.5, as insightface feeds it, and gives
    embeddings [N, D] that are not normalized. Raises CheckpointError as `Recognizer.load`.
    """
    recognizer = Recognizer.load(name, torch.device("cpu"))
    if not recognizer.has_gradients:
        raise CheckpointError(f"recognizer.checkpoint: {name} is an imported ONNX already")
    if recognizer.image_px < 112 or recognizer.image_px % 16:
        raise CheckpointError(
            f"recognizer.checkpoint: is for {recognizer.image_px} px; insightface takes models of "
            "at least 112 px, in steps of 16, for recognition"
        )
    backbone = recognizer.backbone.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, 3, recognizer.image_px, recognizer.image_px)
    check_place("out", out)
    program = torch.onnx.export(
        backbone,
        (example,),
        input_names=["input"],
        output_names=["embedding"],
        dynamic_shapes={"x_BCHW": {0: torch.export.Dim("batch", min=1)}},
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "dynamo=True gives the program"
    file = out / "recognition.onnx"
    write_atomically(file, program.model_proto.SerializeToString(), "out")
    lineage = {"recognizer": recognizer.sha256, "sha256": checkpoint.file_sha256(file)}
    metadata = {"dim": recognizer.dim, "image_px": recognizer.image_px, **lineage}
    write_atomically(out / "recognition.json", (json_text(metadata, indent=2) + "\n").encode())
    return file
