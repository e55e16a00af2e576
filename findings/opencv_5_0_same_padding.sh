#!/usr/bin/env bash
# OpenCV 5.0.0's new engine (the default for ONNX) puts the odd cell of auto_pad SAME_UPPER in front of a map, where ONNX
# has it behind: convolutions and pools with a stride are silently wrong on maps of even sides. 5.1.0 is right.
# Ends with an error where that is no longer so. Takes 300 MB and a minute; leaves nothing behind.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "opencv-python-headless==5.0.0.93" "onnx==1.23.2" "numpy>=2"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from onnx import TensorProto, helper

numbers = np.random.default_rng(0)
weights = numbers.normal(size=(4, 3, 3, 3)).astype(np.float32)
image = numbers.normal(size=(1, 3, 8, 8)).astype(np.float32)


def run(**padding):
    kernel = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], strides=[2, 2], **padding)
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, 8, 8]), ("y", [1, 4, 4, 4]))
    ]
    graph = helper.make_graph([node], "net", infos[:1], infos[1:], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
    data = np.frombuffer(model.SerializeToString(), np.uint8)
    net = cv2.dnn.readNetFromONNX(data, engine=cv2.dnn.ENGINE_NEW)
    net.setInput(image, "x")
    return net.forward()


# 4 windows of 3 cells that are 2 apart see 9 cells of 8: one is added, behind.
same, right, wrong = run(auto_pad="SAME_UPPER"), run(pads=[0, 0, 1, 1]), run(pads=[1, 1, 0, 0])
print("differs from a cell behind by", np.abs(same - right).max(), "and from a cell in front by", np.abs(same - wrong).max())
assert not np.allclose(same, right, atol=1e-3), "it is right now"
assert np.allclose(same, wrong, atol=1e-4), "it is wrong in another way now"
PYTHON
echo "as found: OpenCV 5.0's new engine pads SAME_UPPER in front"
