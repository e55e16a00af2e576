#!/usr/bin/env bash
# OpenCV 5.1.0 does not read an ONNX model in which an attribute of zero is not written, as proto3 (onnx.proto3 of the
# ONNX project) leaves it out: readNetFromONNX returns an empty net, without an exception and without saying why. Written
# by proto2 (the package onnx), the same model is read. ONNX Runtime reads both.
# Ends with an error where that is no longer so. Takes 400 MB and a minute; leaves nothing behind.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "opencv-contrib-python==5.1.0.95" "onnx==1.23.2" "onnxruntime==1.23.2" "numpy>=2"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], count_include_pad=0)
infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, side, side]) for name, side in (("x", 4), ("y", 2))]
graph = helper.make_graph([node], "net", infos[:1], infos[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
written = model.SerializeToString()
for attribute in model.graph.node[0].attribute:
    if attribute.name == "count_include_pad":
        attribute.ClearField("i")
left_out = model.SerializeToString()
assert len(left_out) == len(written) - 2

image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
empty = []
for what, data in (("written", written), ("left out", left_out)):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    empty.append(net.empty())
    print(what, "ONNX Runtime:", session.run(None, {"x": image})[0].ravel(), "OpenCV's net is empty:", empty[-1])
assert empty == [False, True], "OpenCV treats both alike now"
PYTHON
echo "as found: OpenCV 5.1 needs zeros to be written, and answers with an empty net"
