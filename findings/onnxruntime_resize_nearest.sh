#!/usr/bin/env bash
# ONNX Runtime's Resize to 4 of 14 pixels (sizes, nearest, asymmetric, floor) takes pixel 6 for the third, where 2 * 14 / 4
# is 7 exactly: it divides by a scale of 4 / 14 that 32 bits cannot hold. TensorFlow multiplies by 14 / 4, and is right.
# Ends with an error where that is no longer so. Takes 200 MB and half a minute; leaves nothing behind.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "onnxruntime==1.23.2" "onnx==1.23.2" "numpy>=2"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 1, 4])
node = helper.make_node(
    "Resize",
    ["x", "", "", "sizes"],
    ["y"],
    mode="nearest",
    coordinate_transformation_mode="asymmetric",
    nearest_mode="floor",
)
infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, side]) for name, side in (("x", 14), ("y", 4))]
graph = helper.make_graph([node], "net", infos[:1], infos[1:], [sizes])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
image = np.arange(14, dtype=np.float32).reshape(1, 1, 1, 14)
found = session.run(None, {"x": image})[0].ravel().tolist()
print("found", found, "by the rule", [pixel * 14 // 4 for pixel in range(4)])
assert found == [0, 3, 6, 10], "it is different now"
PYTHON
echo "as found: ONNX Runtime is one pixel off"
