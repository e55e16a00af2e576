#!/usr/bin/env bash
# OpenCV 5.1.0 makes a HardSwish of a HardSigmoid (slope 1/6) and the Mul behind it, whatever the other factor is: the gate of a
# squeeze-and-excitation unit (MobileNet v3) comes out instead of the gated map, with the size of the gate, without an
# error. ONNX Runtime is right. A Sigmoid in its place is right in both.
# Ends with an error where that is no longer so. Takes 400 MB and a minute; leaves nothing behind.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "opencv-contrib-python==5.1.0.95" "onnxruntime==1.23.2" "onnx==1.23.2" "numpy>=2"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

image = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32)


def run(gate):
    # The slope of torch's Hardsigmoid.
    slope = {"alpha": 1 / 6, "beta": 0.5} if gate == "HardSigmoid" else {}
    nodes = [
        helper.make_node("Relu", ["x"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node(gate, ["mean"], ["gate"], **slope),
        helper.make_node("Mul", ["map", "gate"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 6, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7).SerializeToString()
    (right,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": image})
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), engine=cv2.dnn.ENGINE_OPENCV)
    net.setInput(image, "x")
    return net.forward(), right


for gate in ("Sigmoid", "HardSigmoid"):
    found, right = run(gate)
    print(gate, "OpenCV", found.shape, "ONNX Runtime", right.shape)
    if gate == "Sigmoid":
        assert found.shape == right.shape and np.allclose(found, right, atol=1e-5)
    else:
        assert found.shape != right.shape, "it is right now, or wrong in another way"
PYTHON
echo "as found: OpenCV 5.1 takes a gate by HardSigmoid for a HardSwish"
