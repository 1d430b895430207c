"""The recognizers in whose spaces a release is measured: the one that conditions, and the judge."""

from __future__ import annotations

import torch

from factory.config import Config
from factory.evaluation.embeddings import RecognizerSpace, Space
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of

CONDITIONING, JUDGE = "recognizer", "judge"


def open_recognizers(
    config: Config, device: torch.device, *, judge_alone: bool = False
) -> dict[str, Space]:
    """The conditioning recognizer, and the judge where there is one."""
    named = {CONDITIONING: config.recognizer.checkpoint, JUDGE: judge_of(config)}
    if judge_alone:
        del named[CONDITIONING]
    return {
        kind: RecognizerSpace(open_embedder(name, device, f"{kind}.checkpoint"))
        for kind, name in named.items()
        if name
    }
