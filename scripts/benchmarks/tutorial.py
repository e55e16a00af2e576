"""The tutorials' way: the whole graph with a .pbtxt in cv2.dnn, one forward, one image written.

python tutorial.py graph.pb graph.pbtxt photo.jpg painted.jpg
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np

graph, text, photo, written = sys.argv[1:]
# OpenCV 5.0 takes its new engine unless told otherwise, which does not know the graph's second output.
engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
net = cv2.dnn.readNetFromTensorflow(graph, text, **engine)
image = cv2.imread(photo)
assert image is not None
height, width = image.shape[:2]
net.setInput(cv2.dnn.blobFromImage(image, swapRB=True, crop=False))
boxes, masks = net.forward(["detection_out_final", "detection_masks"])
best = [row for row in range(boxes.shape[2]) if boxes[0, 0, row, 2] > 0.3][:5]
for row in best:
    class_id = int(boxes[0, 0, row, 1])
    left, top, right, bottom = (boxes[0, 0, row, 3:7] * [width, height, width, height]).astype(int).clip(0)
    area = image[top:bottom, left:right]
    if area.size:
        mask = cv2.resize(masks[row, class_id], area.shape[1::-1]) > 0.5
        area[mask] = (0.5 * area[mask] + 0.5 * np.array([0, 0, 255])).astype(np.uint8)
cv2.imwrite(written, image)
