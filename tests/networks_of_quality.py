"""Small .onnx files that tell a quality: the mean of all pixels, or of one color."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

PX = 8


def write_quality(path: Path, batch: int | None = None, outputs: int = 1, px: int = PX) -> str:
    """An .onnx whose outputs are the mean of the first channel [N, 1], `outputs` times; its path.

    Beside them it gives features [N, 3].
    """
    onnx = pytest.importorskip("onnx", reason="needs the extra eval")
    pytest.importorskip("onnxruntime", reason="needs the extra eval")
    make, kind = onnx.helper, onnx.TensorProto
    first = onnx.numpy_helper.from_array(np.array([[1.0], [0.0], [0.0]], np.float32), "first")
    nodes = [make.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0)]
    nodes += [make.make_node("MatMul", ["means", "first"], [f"q{i}"]) for i in range(outputs)]
    told = [make.make_tensor_value_info(f"q{i}", kind.FLOAT, [batch, 1]) for i in range(outputs)]
    told.append(make.make_tensor_value_info("means", kind.FLOAT, [batch, 3]))
    seen = make.make_tensor_value_info("x", kind.FLOAT, [batch or "n", 3, px, px])
    graph = make.make_graph(nodes, "quality", [seen], told, [first])
    opset = make.make_opsetid("", 13)
    onnx.save(make.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return str(path)
